"""The paper's tables and figures, remade, as one HTML file that needs nothing else; CSV, PNG and SVG lie beside it."""

import base64
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from survnode.model.net.fusion import Fusion
from survnode.model.net.network import NetworkConfig
from survnode.train.cohorts.cohort import Cohort
from survnode.train.measure.evaluate import Estimate
from survnode.train.paper import published
from survnode.train.paper.cost import Cost, cost_of
from survnode.train.paper.experiments import Experiment, System
from survnode.train.paper.figures import Bubble, attention_figure, cost_figure, patient_figure, save, write_across
from survnode.train.paper.results import Result
from survnode.train.paper.tables import (
    REMARK,
    Cell,
    Findings,
    Table,
    cohort_table,
    comparison_table,
    cost_table,
    measure,
    transfer_table,
    write_csv,
)

Slices = Callable[[str], NDArray[np.generic] | None]

TITLE = "Survival from chest CT by attention over slices: the paper's experiments, run again"
RESEARCH_USE = "For research use only. Nothing here is fit to guide the care of a patient."


@dataclass(frozen=True)
class Section:
    """A table or a figure with its words.

    Parameters
    ----------
    missing : why there is no figure
    remark : what a reader must know of everything in it, also where the figure stands alone
    """

    title: str
    table: Table | None = None
    figure: Figure | None = None
    stem: str = ""
    caption: str = ""
    missing: str = ""
    remark: str = ""


def write_report(
    folder: Path,
    experiments: Mapping[str, Experiment],
    findings: Findings,
    cohorts: Sequence[Cohort],
    slices_of: Slices = lambda _: None,
    origin: str = "",
) -> Path:
    """Write everything into ``folder``; returns the HTML file.

    Parameters
    ----------
    slices_of : a patient's slices as the network sees them, (S, H, W) HU, feet to head; None if they are not at hand
    origin : a sentence on what was run: preset, cohorts, versions
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for section in sections(experiments, findings, cohorts, slices_of):
        if section.table:
            write_csv(section.table, folder / f"{section.table.name}.csv")
        parts.append(_section_html(section, folder))
    path = folder / "report.html"
    path.write_text(_page(parts, origin), encoding="utf-8")
    return path


def sections(
    experiments: Mapping[str, Experiment], findings: Findings, cohorts: Sequence[Cohort], slices_of: Slices
) -> Iterator[Section]:
    """The tables and figures in the paper's order."""
    yield _of_table(cohort_table(cohorts))
    for name in ("q1-3d", "q2-fusion", "q3-encoders", "q6-heads", "q7-beside-the-image"):
        yield _of_table(comparison_table(experiments[name], findings), findings.remark(experiments[name].systems))
    transfer = experiments["q4-transfer"]
    yield _of_table(transfer_table(transfer, findings), findings.remark(transfer.systems))
    costs = {system: cost_or_reason(system) for system in experiments["q5-cost"].systems}
    yield _of_table(cost_table(costs))
    yield _cost_section(costs, findings)
    reference = experiments["attention"].reference
    result = findings.results.get(reference.name)
    if result is None or not result.attention:
        why = f"{reference.title}: {findings.why(reference) or 'its attention was not kept'}"
        yield Section("Figures 4 and 5: where the model looks", missing=why)
        return
    yield Section(
        "Figure 4: attention over relative slice position",
        figure=attention_figure(result),
        stem="figure-4",
        caption=f"{reference.title}; each patient by the fold that did not see them. "
        "One means that a place receives its even share. " + " ".join(published.REMARKS["attention"]),
        remark=result.remark,
    )
    yield _patient_section(result, slices_of)


def example_row(result: Result) -> int:
    """The patient of Figure 5: the paper's, or else the first who was seen to die within the horizon."""
    if published.EXAMPLE_PATIENT in result.patients:
        return result.patients.index(published.EXAMPLE_PATIENT)
    died = np.flatnonzero(result.event & (result.time_months < result.cif.shape[1]))
    return int(died[0]) if len(died) else 0


def _patient_section(result: Result, slices_of: Slices) -> Section:
    row = example_row(result)
    patient = result.patients[row]
    is_the_papers = patient == published.EXAMPLE_PATIENT
    title = f"Figure 5: what the model looked at in {patient if is_the_papers else 'one patient'}"
    slices = slices_of(patient)
    if slices is None:
        return Section(title, missing="The slices of this patient are not at hand.")
    chosen = "the paper's example" if is_the_papers else "the first who died within the horizon"
    caption = (
        f"{chosen.capitalize()}, not chosen for its looks. Above each slice its number and its share of the attention; "
        f"the frame is the wider the greater the share. {published.EXAMPLE}"
    )
    figure = patient_figure(result, row, slices)
    return Section(title, figure=figure, stem="figure-5", caption=caption, remark=result.remark)


def _cost_section(costs: Mapping[System, Cost | str], findings: Findings) -> Section:
    title = "Figure 3: concordance against cost"
    bubbles = list(_bubbles(costs, findings))
    if not bubbles:
        return Section(title, missing="No system ran yet.")
    caption = f"{len(bubbles)} of {len(costs)} systems ran."
    remark = findings.remark(costs)
    return Section(title, figure=cost_figure(bubbles), stem="figure-3", caption=caption, remark=remark)


def _bubbles(costs: Mapping[System, Cost | str], findings: Findings) -> Iterator[Bubble]:
    for system, cost in costs.items():
        result = findings.results.get(system.name)
        if result is None or isinstance(cost, str):
            continue
        ctd = measure(result).lead
        if ctd.value is not None and ctd.low is not None and ctd.high is not None:
            strategy = ", half frozen" if system.strategy.startswith("half") else ""
            label = system.title + strategy
            yield Bubble(label, _family(system), ctd.value, ctd.low, ctd.high, cost.flops / 1e9, cost.parameters)


def _family(system: System) -> str:
    """One of `figures.FAMILIES`; the Medical Slice Transformer is one of the paper's 3D competitors."""
    if not isinstance(system.network, NetworkConfig) or system.name.startswith("mst"):
        return "3D"
    return "2D, soft attention" if system.network.fusion is Fusion.ATTENTION else "2D, other fusion"


def cost_or_reason(system: System) -> Cost | str:
    """What a system costs, or why that cannot be counted."""
    try:
        return cost_of(system.network)
    except ImportError as error:
        return str(error)


def _of_table(table: Table, remark: str = "") -> Section:
    return Section(table.title, table=table, remark=remark)


def _section_html(section: Section, folder: Path) -> str:
    body = f'<p class="use">{escape(section.remark)}</p>' if section.remark else ""
    if section.table:
        body += _table_html(section.table)
    if section.figure:
        if section.remark:
            write_across(section.figure, section.remark)
        _, svg = save(section.figure, folder / section.stem)
        body += _image(svg, section.title)
    if section.missing:
        body += f'<p class="missing">{escape(section.missing)}</p>'
    if section.caption:
        body += f"<p>{escape(section.caption)}</p>"
    return f"<section><h2>{escape(section.title)}</h2>{body}</section>"


def _image(svg: Path, words: str) -> str:
    """An image that holds its file: ids of one SVG cannot meet those of another."""
    encoded = base64.b64encode(svg.read_bytes()).decode()
    return f'<img alt="{escape(words)}" src="data:image/svg+xml;base64,{encoded}">'


def _table_html(table: Table) -> str:
    remarks = table.header[-1] == REMARK
    header = table.header[:-1] if remarks else table.header
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    rows = "".join(_remarked(row) if remarks else f"<tr>{_cells(row)}</tr>" for row in table.rows)
    notes = "".join(f"<li>{escape(note)}</li>" for note in table.notes)
    link = f'<a href="{table.name}.csv">{table.name}.csv</a>'
    return (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
        f'<ul class="notes">{notes}<li>In full precision: {link}</li></ul>'
    )


def _remarked(row: Sequence[Cell]) -> str:
    """A row whose remark, if it has one, stands beneath it."""
    *cells, remark = row
    if not remark:
        return f"<tr>{_cells(cells)}</tr>"
    beneath = f'<tr><td class="remark" colspan="{len(cells)}">{_shown(remark)}</td></tr>'
    return f'<tr class="remarked">{_cells(cells)}</tr>{beneath}'


def _cells(row: Iterable[Cell]) -> str:
    kinds = ((' class="words"' if isinstance(cell, str) else "", cell) for cell in row)
    return "".join(f"<td{kind}>{_shown(cell)}</td>" for kind, cell in kinds)


def _shown(cell: Cell) -> str:
    match cell:
        case None:
            return '<span class="unknown">–</span>'
        case Estimate(value=value, low=low, high=high):
            if value is None:
                return _shown(None)
            between = "" if low is None or high is None else f"<small>{low:.3f} to {high:.3f}</small>"
            return f"{value:.3f}{between}"
        case int():
            return f"{cell:,}"
        case float():
            return f"{cell:,.1f}" if abs(cell) >= 10 else f"{cell:.4f}" if 0 < abs(cell) < 0.001 else f"{cell:.3f}"
        case str():
            return escape(cell)


def _page(parts: Iterable[str], origin: str) -> str:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(TITLE)}</title>'
        f"<style>{STYLE}</style></head><body><main><h1>{escape(TITLE)}</h1>"
        f'<p class="use">{escape(RESEARCH_USE)}</p>'
        f"<p>Beside: {escape(published.PAPER)}. Numbers in small type are 95 % bootstrap intervals over patients. "
        f"{escape(published.NOISE)}</p><p>{escape(origin)}</p>{''.join(parts)}</main></body></html>\n"
    )


STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1c2430; background: #fff; margin: 0 }
main { max-width: 1240px; margin: 0 auto; padding: 1.5rem }
h1 { font-size: 1.6rem; line-height: 1.2 } h2 { font-size: 1.15rem; margin: 2.5rem 0 .6rem }
.use { font-weight: 600; color: #8c1c2c }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-size: .82rem; font-variant-numeric: tabular-nums }
th { text-align: left; vertical-align: bottom; border-bottom: 2px solid #1c2430; padding: .3rem .6rem .3rem 0 }
td { vertical-align: top; border-bottom: 1px solid #dde2e8; padding: .35rem .6rem .35rem 0; white-space: nowrap }
td.words { white-space: normal; min-width: 6rem; max-width: 20rem }
tr.remarked td { border-bottom: none }
td.remark { white-space: normal; color: #7a4a00; padding-top: 0; overflow-wrap: anywhere }
td small { display: block; color: #5b6675 }
.unknown { color: #9aa4b1 } .missing { background: #fdf3e3; padding: .6rem .8rem; border-left: 4px solid #f4a12a }
.notes { color: #444e5c; font-size: .85rem; padding-left: 1.2rem }
img { max-width: 100% }
@media print { .wide { overflow: visible } section { break-inside: avoid } }
"""
