//! The text of `schedule`, and the reading of a new timetable.

use std::{
    fs,
    io::{Read, stdin},
    path::Path,
    time::Duration,
};

use anyhow::{Context, ensure};
use tgs_control::{SchedulePlan, ScheduleRow, ScheduleRowKind};
use tgs_core::time::clock;

use crate::text::{TerminalStyle, plain};

/// The largest timetable, in bytes, as in tgs-stream.
const MAX_TEXT: u64 = 1 << 20;

/// The text of `file`; `-` is stdin.
pub(crate) fn read(file: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let read = |source: &mut dyn Read, text: &mut String| source.take(MAX_TEXT + 1).read_to_string(text);
    if file == Path::new("-") {
        read(&mut stdin(), &mut text).context("read the timetable from stdin")?;
    } else {
        let opened = fs::File::open(file).and_then(|mut opened| read(&mut opened, &mut text));
        opened.with_context(|| format!("read {}", file.display()))?;
    }
    ensure!(
        text.len() as u64 <= MAX_TEXT,
        "read {}: it is over 1 MiB, which is no timetable",
        file.display()
    );
    Ok(text)
}

/// The lines of `schedule`: a table for each day.
pub(crate) fn lines(plan: &SchedulePlan, style: TerminalStyle) -> Vec<String> {
    let mut lines = Vec::new();
    let mut date = "";
    for row in &plan.rows {
        let (today, time) = row.local.split_once('T').unwrap_or(("", &row.local));
        if today != date {
            if !date.is_empty() {
                lines.push(String::new());
            }
            lines.push(style.bold(&plain(&format!("{today}, {}", plan.timezone))));
            lines.push(format!("{:14}  {:>9}  {:5}  WHAT", "START", "LENGTH", "MODE"));
            date = today;
        }
        let mode = row.starts.as_deref().unwrap_or_default();
        let line = format!("{time:14}  {:>9}  {mode:5}  {}", length(row), what(row));
        let line = plain(&line);
        let quiet = matches!(row.kind, ScheduleRowKind::List | ScheduleRowKind::Never);
        lines.push(if quiet { style.dim(&line) } else { line });
        for warning in &row.warnings {
            lines.push(style.yellow(&plain(&format!("{:34}! {}", "", warning.text))));
        }
    }
    lines.extend(plan.warnings.iter().map(|warning| style.yellow(&plain(&format!("! {}", warning.text)))));
    lines
}

fn length(row: &ScheduleRow) -> String {
    let length = clock(Duration::try_from_secs_f64(row.length_seconds).unwrap_or_default());
    match row.kind {
        ScheduleRowKind::Never => "-".to_owned(),
        _ if row.open => format!("<= {length}"),
        _ => length,
    }
}

fn what(row: &ScheduleRow) -> String {
    let name = row.name.as_deref().unwrap_or_default();
    match row.kind {
        ScheduleRowKind::List => "(list)".to_owned(),
        ScheduleRowKind::Fill => format!("{name}: filler"),
        ScheduleRowKind::Slot if row.resumed => format!("{name}, continued"),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_a_table() {
        let plan = r#"{"timezone":"Europe/Berlin","rows":[
            {"local":"2026-03-02T00:00:00+01:00","length_seconds":72000.0,"kind":"list"},
            {"local":"2026-03-02T20:00:00+01:00","length_seconds":1560,"kind":"slot","name":"News","starts":"hard",
             "warnings":[{"kind":"missing","text":"a.mp4: there is no such file"}]},
            {"local":"2026-03-02T20:26:00+01:00","length_seconds":240,"kind":"fill","name":"News"},
            {"local":"2026-03-02T20:30:00+01:00","length_seconds":0,"kind":"never","name":"Never"},
            {"local":"2026-03-03T00:00:00+01:00","length_seconds":60,"kind":"slot","name":"\u001b[2J","resumed":true,
             "open":true,"of_a_newer_version":1}],
            "warnings":[{"kind":"past","text":"\"Old\" is past"}]}"#;
        let plan: SchedulePlan = serde_json::from_str(plan).unwrap();
        let lines = lines(&plan, TerminalStyle { colour: false });
        let expected = [
            "2026-03-02, Europe/Berlin",
            "START              LENGTH  MODE   WHAT",
            "00:00:00+01:00   20:00:00         (list)",
            "20:00:00+01:00    0:26:00  hard   News",
            "                                  ! a.mp4: there is no such file",
            "20:26:00+01:00    0:04:00         News: filler",
            "20:30:00+01:00          -         Never",
            "",
            "2026-03-03, Europe/Berlin",
            "START              LENGTH  MODE   WHAT",
            "00:00:00+01:00  <= 0:01:00         \\u{1b}[2J, continued",
            "! \"Old\" is past",
        ];
        assert_eq!(lines, expected);
    }
}
