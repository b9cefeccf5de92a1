"""The sections of the panel, one file each, loaded when its header is first expanded.

A section NAME consists of

- ``Resources/UI/SlicerVAE{Name}.ui``, whose root is a qMRMLWidget and whose node selectors follow its
  mrmlSceneChanged(vtkMRMLScene*). A widget with the dynamic property SlicerParameterName is bound to that field of
  ``panel.parameters``: nobody writes code for it;
- ``panel/presenters/NAME.py``, a presenter without Qt. It is made with a View (a Protocol in the same file) and the
  ``panel.section.Panel``; what it does follows from ``panel.parameters``, ``panel.hint`` and ``panel.runs.state``;
- ``panel/sections/NAME.py`` with ``open_section(ui, panel) -> Section``: the thin view on the widgets of ``ui`` (named
  children as attributes), connected with ``panel.connections.Connections``, and the presenter on it.

Work for the model is a generator that is given to ``panel.runs.begin``::

    def _task(self) -> Task:
        job = prepare_maps(...)             # reads the scene; a UserError here is shown and ends the task
        result = yield Step(job.request)    # meanwhile the window lives, the person may cancel or close the scene
        nodes = job.publish(result)
        return "Done: …"                    # the status that the person reads

A quick question that is asked many times a second (a decoded slice) goes through ``panel.runs.ask``.
"""
