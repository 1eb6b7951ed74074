"""Link the three packages under ``.editable/survnode`` when the project is installed editable."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class EditableLinks(BuildHookInterface):  # type: ignore[type-arg]  # hatchling leaves its configuration class open
    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002  hatchling calls it so
        if version != "editable":
            return
        namespace = Path(self.root, ".editable", "survnode")
        namespace.mkdir(parents=True, exist_ok=True)
        for name in ("node", "model", "train"):
            link = namespace / name
            link.unlink(missing_ok=True)
            link.symlink_to(Path(self.root, name), target_is_directory=True)
