"""What runs came to: for programs, for people, and as a chart."""

import math
from statistics import median
from xml.sax.saxutils import escape

LIMBECK = "limbeck"


def result(head, runs):
    """All figures, from the runs alone."""
    speed = [of_size(head, runs, events) for events in logs_of(runs, "speed")]
    return {
        **head,
        "speed": speed,
        "late": [of_late(runs, name) for name in names_of(runs, "late")],
        "odd": {line: of_odd(runs, line) for line in logs_of(runs, "odd")},
    }


def logs_of(runs, part):
    return list(dict.fromkeys(run["log"] for run in runs if run["part"] == part))


def names_of(runs, part):
    return list(dict.fromkeys(run["name"] for run in runs if run["part"] == part))


def spread(values):
    """The median, with the least and the most."""
    return {"median": median(values), "least": min(values), "most": max(values)}


def of_size(head, runs, events):
    runs = [run for run in runs if run["part"] == "speed" and run["log"] == events]
    return {
        "events": events,
        "results": [of_program(head, runs, events, name) for name in names_of(runs, "speed")],
    }


def of_program(head, runs, events, name):
    own = [run for run in runs if run["name"] == name and "cost" in run]
    failures = [run["failure"] for run in runs if run["name"] == name and "failure" in run]
    beside = head["programs"][name]["beside"]
    # Limbeck runs more often than all others: before each of them.
    costs = [run["cost"] for run in own]
    costs += [run["beside"] for run in runs
              if "beside" in run and head["programs"][run["name"]]["beside"] == name]
    line = {"name": name, "runs": len(costs), "failure": failures[-1] if failures else None}
    if not costs:
        return line
    line |= {
        "events_per_second": spread([events / cost["seconds"] for cost in costs]),
        "cpu_seconds_per_million": median(cost["cpu_seconds"] for cost in costs) / events * 1e6,
        "peak_bytes": max(cost["peak_bytes"] for cost in costs),
        "seconds": [cost["seconds"] for cost in costs],
        "cpu_seconds": [cost["cpu_seconds"] for cost in costs],
    }
    if name == LIMBECK or not own:
        return line

    def ratio(what):
        return spread([run["cost"][what] / run["beside"][what] for run in own])

    differences = [run["rows"]["difference"] for run in own if run["rows"]["difference"]]
    return line | {
        "beside": beside,
        "wall_by_beside": ratio("seconds"),
        "cpu_by_beside": ratio("cpu_seconds"),
        "rows": own[-1]["rows"]["count"],
        "runs_with_other_rows": len(differences),
        "difference": differences[-1] if differences else None,
    }


def of_late(runs, name):
    runs = [run for run in runs if run["part"] == "late" and run["name"] == name]
    ended = [run["rows"] for run in runs if "rows" in run]
    differences = [rows["difference"] or {"missing": 0, "wrong": 0} for rows in ended]
    failures = [run["failure"] for run in runs if "failure" in run]
    return {
        "name": name,
        "runs": len(ended),
        "results": len({rows["digest"] for rows in ended}),
        "digests": [rows["digest"] for rows in ended],
        "missing": [difference["missing"] for difference in differences],
        "wrong": [difference["wrong"] for difference in differences],
        "failure": failures[-1] if failures else None,
    }


def of_odd(runs, line):
    runs = [run for run in runs if run["part"] == "odd" and run["log"] == line]
    return {run["name"]: run.get("failure") or run["rows"]["difference"] for run in runs}


# ---- for people


def title(result, name):
    program = result["programs"][name]
    version = program["version"]
    return program["title"] + (f" ({version})" if version else "")


def table(result):
    machine = result["machine"]
    settings = result["settings"]
    memory = machine["memory_bytes"]
    text = (
        f"{machine['cores']} cores, {machine['model']}, "
        f"{'memory unknown' if memory is None else f'{memory / 1e9:.0f} GB'}, {machine['system']}, "
        f"load {machine['load_before']:.1f} before; {machine['month']}\n"
    )
    for size in result["speed"]:
        text += (
            f"\n{size['events']} events of {settings['entities']} entities, seed {settings['seed']}; "
            "medians, least and most in brackets\n\n"
            f"{'':<40}{'M events/s':>24}{'CPU s/1 M':>11}{'peak MB':>9}"
            f"{'wall by that of Limbeck':>25}{'CPU':>7}  rows\n"
        )
        for line in size["results"]:
            text += speed_line(result, line)
    text += late_table(result)
    text += odd_table(result)
    text += "\nversions\n"
    for name, program in result["programs"].items():
        if program["version"]:
            text += f"  {program['title']}: {program['version']}\n"
    text += "\nleft out\n"
    for program in result["programs"].values():
        if program["leaves_out"]:
            text += f"  {program['title']}: {'; '.join(program['leaves_out'])}\n"
    if result["missing"]:
        text += "\nmissing\n"
        for name, reason in result["missing"].items():
            text += f"  {name}: {reason}\n"
    return text


def speed_line(result, line):
    text = f"{result['programs'][line['name']]['title']:<40}"
    if "events_per_second" not in line:
        return f"{text}  failed: {line['failure']}\n"
    speed = {key: f"{value / 1e6:.3f}" for key, value in line["events_per_second"].items()}
    text += f"{speed['median'] + ' [' + speed['least'] + ', ' + speed['most'] + ']':>24}"
    text += f"{line['cpu_seconds_per_million']:>11.2f}{line['peak_bytes'] / 1e6:>9.0f}"
    if "wall_by_beside" in line:
        wall = {key: f"{value:.2f}" for key, value in line["wall_by_beside"].items()}
        text += f"{wall['median'] + ' [' + wall['least'] + ', ' + wall['most'] + ']':>25}"
        text += f"{line['cpu_by_beside']['median']:>7.1f}  "
        text += rows_text(line["difference"])
        if line["difference"] and line["runs_with_other_rows"] < line["runs"]:
            text += f" in {line['runs_with_other_rows']} of {line['runs']} runs"
        if line["beside"] != LIMBECK:
            text += f", beside {result['programs'][line['beside']]['title']}"
    if line["failure"]:
        text += f"; then failed: {line['failure']}"
    return text.rstrip() + "\n"


def rows_text(difference):
    if difference is None:
        return "same"
    return f"{difference['missing']} missing, {difference['wrong']} wrong"


def late_table(result):
    if not result["late"]:
        return ""
    text = (
        f"\none line in a hundred of {result['settings']['late_events']} beyond the lateness; "
        "rows against those of Limbeck\n\n"
        f"{'':<40}{'runs':>6}{'different results':>19}{'missing rows':>16}{'wrong rows':>16}\n"
    )
    for line in result["late"]:
        text += f"{result['programs'][line['name']]['title']:<40}{line['runs']:>6}"
        if line["runs"]:
            text += f"{line['results']:>19}"
            text += f"{to(line['missing']):>16}{to(line['wrong']):>16}"
        if line["failure"]:
            text += f"  failed: {line['failure']}"
        text += "\n"
    return text


def to(numbers):
    least, most = min(numbers), max(numbers)
    return str(least) if least == most else f"{least} to {most}"


def odd_table(result):
    if not result["odd"]:
        return ""
    names = list(dict.fromkeys(name for line in result["odd"].values() for name in line))
    width = max(len(name) for name in names) + 2
    text = "\na small log with one odd line: the same rows as Limbeck, so many otherwise, or no end\n\n"
    text += f"{'':<22}" + "".join(f"{name:>{width}}" for name in names) + "\n"
    for odd, found in result["odd"].items():
        text += f"{odd:<22}"
        for name in names:
            text += f"{odd_text(found, name):>{width}}"
        text += "\n"
    return text


def odd_text(found, name):
    if name not in found:
        return "-"
    difference = found[name]
    if difference is None:
        return "same"
    if isinstance(difference, str):
        return "fails"
    return str(max(difference["missing"], difference["wrong"]))


# ---- the chart

WIDTH, LEFT, RIGHT, TOP, LINE = 900, 280, 130, 64, 26
COLOURS = ["#0000ff", "#d2691e", "#228b22", "#8b008b"]


def chart(result):
    """Events per second on a logarithmic scale: a point for each median, a line from least to most."""
    lines = [(name, points) for name in result["programs"]
             if (points := points_of(result, name))]
    if not lines:
        return '<svg xmlns="http://www.w3.org/2000/svg"/>\n'
    speeds = [speed[edge] for _, points in lines for _, speed in points for edge in speed]
    low = 10 ** math.floor(math.log10(min(speeds)))
    high = 10 ** math.ceil(math.log10(max(speeds) * 1.001))
    height = TOP + LINE * len(lines) + 46
    bottom = height - 46

    def x(speed):
        share = math.log10(speed / low) / math.log10(high / low)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    drawn = [
        f'<svg width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        'xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        label(WIDTH / 2, 22, "Hold-down of the flap workload: events per second", "middle", 16),
    ]
    for number, size in enumerate(result["speed"]):
        at = LEFT + 170 * number
        drawn.append(f'<circle cx="{at}" cy="42" r="4" fill="{colour(number)}"/>')
        drawn.append(label(at + 9, 46, f"{size['events']:,} events"))
    for power in range(round(math.log10(low)), round(math.log10(high)) + 1):
        for step in range(1, 10):
            if low <= (speed := step * 10**power) <= high:
                shade = "#bbbbbb" if step == 1 else "#eeeeee"
                at = f"{x(speed):.1f}"
                drawn.append(
                    f'<line x1="{at}" y1="{TOP}" x2="{at}" y2="{bottom}" stroke="{shade}"/>')
        drawn.append(label(x(10**power), bottom + 16, f"{10**power / 1e6:g} M", "middle"))
    drawn.append(label((LEFT + WIDTH - RIGHT) / 2, bottom + 36, "events per second", "middle"))
    for number, (name, points) in enumerate(lines):
        middle = TOP + LINE * number + LINE / 2
        drawn.append(label(LEFT - 12, middle + 4, result["programs"][name]["title"], "end"))
        for place, (size, speed) in enumerate(points):
            y = middle + 6 * (place - (len(points) - 1) / 2)
            least, at, most = (f"{x(speed[edge]):.1f}" for edge in ("least", "median", "most"))
            stroke = f'stroke="{colour(size)}"'
            drawn.append(f'<line x1="{least}" y1="{y}" x2="{most}" y2="{y}" {stroke} stroke-width="2"/>')
            drawn.append(f'<circle cx="{at}" cy="{y}" r="4" fill="{colour(size)}"/>')
        medians = ", ".join(f"{speed['median'] / 1e6:.3g}" for _, speed in points)
        drawn.append(label(WIDTH - RIGHT + 10, middle + 4, f"{medians} M"))
    return "\n".join([*drawn, "</svg>"]) + "\n"


def points_of(result, name):
    return [
        (number, line["events_per_second"])
        for number, size in enumerate(result["speed"])
        for line in size["results"]
        if line["name"] == name and "events_per_second" in line
    ]


def colour(number):
    return COLOURS[number % len(COLOURS)]


def label(x, y, words, anchor="start", size=12):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">'
            f"{escape(words)}</text>")
