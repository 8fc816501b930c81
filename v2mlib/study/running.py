"""Run a study in a notebook."""

from v2mlib.study.answering import Participation
from v2mlib.study.folder import Study, load_study


def run_study(study, participant=None, *, theme="auto"):
    """Show a study to one participant, in a notebook.

    Parameters
    ----------
    study : Study or path
        The study, or its folder.
    participant : str, optional
        Code of somebody who goes on; a new participant by default.
    theme : {"auto", "light", "dark"}
        Of the page.

    Returns
    -------
    StudyRunner
        A widget.

    Raises
    ------
    InputError
        If the study or the participant's answers cannot be used.
    """
    from v2mlib.widgets import StudyRunner

    found = study if isinstance(study, Study) else load_study(study)
    return StudyRunner(Participation(found, participant), theme=theme)
