#!/usr/bin/env python3
"""Writes calendars.txt from the PyPI package exchange_calendars.

    pip install 'exchange_calendars==4.13.*'
    python3 calendar/gen.py               # writes calendar/calendars.txt
    go run ./calendar/gen                 # writes schema/03_calendars_data.sql
    python3 calendar/gen.py --sessions    # prints every session, for the test

Regular hours are the package's own; every day that differs from them is an
exception. The package knows no extended hours: those of New York are here.
"""

import datetime as dt
import os
import sys
import warnings

warnings.filterwarnings("ignore")

import exchange_calendars as ec  # noqa: E402
import pandas as pd  # noqa: E402

FIRST, LAST = dt.date(1990, 1, 1), dt.date(2035, 12, 31)

# Calendar, its name, its name in the package, and its extended hours.
CALENDARS = [
    ("CMES", "CME Globex", "CMES", None),
    ("FX", "Foreign exchange, 24 hours on weekdays", "24/5", None),
    ("XASX", "ASX, Sydney", "XASX", None),
    ("XETR", "Xetra, Frankfurt", "XETR", None),
    ("XHKG", "Hong Kong Stock Exchange", "XHKG", None),
    ("XLON", "London Stock Exchange", "XLON", None),
    ("XNAS", "Nasdaq", "XNAS", ("04:00", "20:00")),
    ("XNSE", "National Stock Exchange of India", "XBOM", None),
    ("XNYS", "New York Stock Exchange", "XNYS", ("04:00", "20:00")),
    ("XPAR", "Euronext Paris", "XPAR", None),
    ("XTKS", "Tokyo Stock Exchange", "XTKS", None),
    ("XTSE", "Toronto Stock Exchange", "XTSE", None),
]


def load(name):
    """The calendar, over the years that it knows whole."""
    cal = ec.get_calendar(name)
    first, last = FIRST, LAST
    low, high = type(cal).bound_min(), type(cal).bound_max()
    if low is not None:
        first = max(first, low.date())
    if high is not None:
        year = high.year if (high.month, high.day) == (12, 31) else high.year - 1
        last = min(last, dt.date(year, 12, 31))
    return ec.get_calendar(name, start=str(first), end=str(last)), first, last


def local(cal, day, at):
    """Minutes from the midnight that begins the day to the wall clock of an instant."""
    if pd.isna(at):
        return None
    minutes = (at.tz_convert(cal.tz).tz_localize(None) - day) / pd.Timedelta(minutes=1)
    assert minutes == int(minutes), (cal.name, day, at)
    return int(minutes)


def hours(cal):
    """The day's opens, break start, break end and closes."""
    return {
        day.date(): tuple(local(cal, day, at) for at in (row.open, row.break_start, row.break_end, row.close))
        for day, row in cal.schedule.iterrows()
    }


def clock(minutes):
    sign, minutes = ("-", -minutes) if minutes < 0 else ("", minutes)
    return f"{sign}{minutes // 60:02}:{minutes % 60:02}"


def periods(cal, first, last):
    """Starts of the periods of constant regular hours."""
    starts = {first}
    for times in (cal.open_times, cal.close_times, cal.break_start_times, cal.break_end_times):
        starts |= {day.date() for day, _ in times or () if day is not None and first < day.date() <= last}
    return sorted(starts)


def days(first, last):
    while first <= last:
        yield first
        first += dt.timedelta(days=1)


def usual(given, first, last):
    """The most frequent hours of a period by weekday, 1 is Monday."""
    out = {}
    for weekday in range(1, 8):
        counts = {}
        all_days = [d for d in days(first, last) if d.isoweekday() == weekday]
        for d in all_days:
            h = given.get(d)
            counts[h] = counts.get(h, 0) + 1
        most = max(counts, key=counts.get)
        if most is not None:
            out[weekday] = most
    return out


def difference(rule, h):
    """How hours differ from the rule: opens..closes, either empty."""
    if rule is None:
        assert h[1] is None, h
        return f"{clock(h[0])}..{clock(h[3])}"
    # A break that ends at or after the close is left out.
    without = rule[1] is not None and h[3] <= rule[2]
    assert h[1:3] == ((None, None) if without else rule[1:3]), (rule, h)
    opens = "" if h[0] == rule[0] else clock(h[0])
    closes = "" if h[3] == rule[3] else clock(h[3])
    return f"{opens}..{closes}"


def calendar(name, title, source, extended):
    cal, first, last = load(source)
    given = hours(cal)
    out = [f"{name} name {title}", f"{name} zone {cal.tz.key}", f"{name} days {first} {last}"]
    closed, other = {}, {}
    starts = periods(cal, first, last)
    shift = 0
    for start, end in zip(starts, [s - dt.timedelta(days=1) for s in starts[1:]] + [last]):
        rules = usual(given, start, end)
        for h in sorted(set(rules.values())):
            shift = max(shift, -h[0])
            line = f"{name} hours {start} {end} {''.join(str(w) for w in sorted(rules) if rules[w] == h)}"
            line += f" {clock(h[0])}..{clock(h[3])}"
            if h[1] is not None:
                line += f" break {clock(h[1])}..{clock(h[2])}"
            if extended:
                line += f" extended {extended[0]}..{extended[1]}"
            out.append(line)
        for d in days(start, end):
            rule, h = rules.get(d.isoweekday()), given.get(d)
            if h == rule:
                continue
            if h is None:
                closed.setdefault(d.year, []).append(d)
            else:
                other.setdefault((d.year, difference(rule, h)), []).append(d)
    if shift:
        out.insert(3, f"{name} shift {clock(shift)}")
    for year in range(first.year, last.year + 1):
        if year in closed:
            out.append(f"{name} closed {year} " + " ".join(f"{d:%m-%d}" for d in closed[year]))
        for (y, what), list_ in sorted(other.items()):
            if y == year:
                out.append(f"{name} open {year} {what} " + " ".join(f"{d:%m-%d}" for d in list_))
    return out


def write():
    lines = [
        f"# Generated by calendar/gen.py from exchange_calendars {ec.__version__}. DO NOT EDIT.",
        "# Times are local, counted from the midnight that begins the day.",
        "#   hours FROM TO WEEKDAYS OPENS..CLOSES [break START..END] [extended PRE_OPENS..POST_CLOSES]",
        "#   closed YEAR MM-DD...             no session, though hours has one",
        "#   open YEAR OPENS..CLOSES MM-DD... other hours; an empty side is as in hours",
        "24x7 name Always open",
        "24x7 zone UTC",
        "24x7 days 1900-01-01 9999-12-31",
    ]
    for c in CALENDARS:
        lines += calendar(*c)
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "calendars.txt")
    with open(path, "w") as f:
        f.write("\n".join(lines) + "\n")


def sessions():
    """Prints every session as the package has it, times in Unix seconds."""
    for name, _, source, _ in CALENDARS:
        cal, _, _ = load(source)
        for day, row in cal.schedule.iterrows():
            times = [row.open, row.close, row.break_start, row.break_end]
            print(name, day.date(), *("-" if pd.isna(t) else int(t.timestamp()) for t in times))


if __name__ == "__main__":
    sessions() if "--sessions" in sys.argv[1:] else write()
