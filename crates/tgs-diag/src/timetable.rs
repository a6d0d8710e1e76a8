//! Checks the timetable: its text, and the slots of the next 24 hours. Opens no media.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use tgs_core::files;
use tgs_schedule::{
    Fill, Slot, Timetable,
    plan::{PlanItem, SlotContents, WarningKind},
};

use crate::{context::DiagContext, finding::Finding, runner::CheckSink};

const CHECK: &str = "timetable";

/// The largest timetable, in bytes, as in tgs-stream.
const MAX_TEXT: u64 = 1 << 20;

/// How far the plan is looked at.
const AHEAD: Duration = Duration::from_hours(24);

/// Maximum number of warnings listed individually.
const MOST: usize = 5;

/// Checks the file of SCHEDULE, if there is one.
pub(crate) fn look(context: &DiagContext, out: &CheckSink) {
    if let Some(file) = context.settings.as_ref().and_then(|settings| settings.schedule.as_ref()) {
        out.say_all(examine(file, SystemTime::now()));
    }
}

fn examine(file: &Path, now: SystemTime) -> Vec<Finding> {
    let shown = file.display();
    let text = match files::read_regular(file, MAX_TEXT) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => {
            let remedy = "write the timetable, or remove SCHEDULE; the list plays alone meanwhile";
            return vec![Finding::fail(CHECK, format!("{shown} cannot be read: {error}"), remedy)];
        }
    };
    let timetable = match Timetable::parse(&text) {
        Ok(timetable) => timetable,
        Err(problems) => {
            let problems = problems.to_string().replace('\n', "; ");
            let remedy =
                "correct these lines; a broadcast goes on with the timetable that it has read before";
            return vec![Finding::fail(CHECK, format!("{shown}: {problems}"), remedy)];
        }
    };
    let dir = file.parent().unwrap_or(Path::new(""));
    let plan = timetable.plan(now, now + AHEAD, &|slot| contents(slot, dir));
    let of_rows = plan.rows.iter().flat_map(|row| {
        let name = row.name.as_deref().unwrap_or_default();
        let at = row.local.get(11..16).unwrap_or_default();
        let serious = |kind| matches!(kind, WarningKind::Missing | WarningKind::Overlap);
        let serious = row.warnings.iter().filter(move |warning| serious(warning.kind));
        serious.map(move |warning| format!("{name} at {at}: {}", warning.text))
    });
    let warnings: Vec<String> = of_rows.collect();
    let count = timetable.slots().len();
    if warnings.is_empty() {
        let text = format!("{shown} has {count} slots; those of the next 24 hours can play");
        return vec![Finding::pass(CHECK, text)];
    }
    let mut parts: Vec<String> = warnings.iter().take(MOST).cloned().collect();
    if warnings.len() > MOST {
        parts.push(format!("{} more", warnings.len() - MOST));
    }
    vec![
        Finding::warn(CHECK, parts.join("; "))
            .with_remedy("tgs-stream --check --on DATE shows the plan of a day"),
    ]
}

/// What a slot plays, as far as its paths tell.
fn contents(slot: &Slot, dir: &Path) -> SlotContents {
    let problem = match &slot.fill {
        Fill::Source(fill) => problem(fill, dir).map(|problem| format!("fill: {problem}")),
        _ => None,
    };
    let item = PlanItem { title: slot.name.clone(), length: None, problem: None };
    SlotContents { items: vec![item], problem: self::problem(&slot.play, dir).or(problem) }
}

fn problem(source: &str, dir: &Path) -> Option<String> {
    if source.contains("://") {
        return None;
    }
    let path = dir.join(source);
    let shown = path.display();
    match fs::metadata(&path) {
        Err(error) => Some(format!("{shown}: {error}")),
        Ok(meta) if !meta.is_dir() => None,
        Ok(_) => match fs::read_dir(&path).map(|mut entries| entries.next().is_none()) {
            Ok(true) => Some(format!("{shown} is empty")),
            Ok(false) => None,
            Err(error) => Some(format!("{shown}: {error}")),
        },
    }
}

#[cfg(test)]
mod tests {
    use tgs_core::time::parse_utc;

    use super::*;
    use crate::finding::Level;

    #[test]
    fn mistakes_are_failures_and_missing_files_warnings() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("timetable.toml");
        let now = parse_utc("2026-03-02T12:00:00Z").unwrap();
        let look = |text: &str| {
            fs::write(&file, text).unwrap();
            let found = examine(&file, now).pop().unwrap();
            (found.level, found.text)
        };
        assert_eq!(examine(&file, now)[0].level, Level::Fail);
        let slot = |at: &str, rest: &str| {
            format!("[[slot]]\nname = \"News\"\nat = \"{at}\"\nplay = \"news.mp4\"\nfor = \"30m\"\n{rest}")
        };
        let (level, text) = look(&slot("25:00", ""));
        assert!(level == Level::Fail && text.contains("line 3, slot \"News\""), "{text}");
        let (level, text) = look(&format!("timezone = \"UTC\"\n{}", slot("20:00", "")));
        assert!(level == Level::Warn && text.starts_with("News at 20:00: cannot play: "), "{text}");
        fs::write(dir.path().join("news.mp4"), "").unwrap();
        assert_eq!(look(&slot("20:00", "")).0, Level::Pass);
        let (level, text) = look(&slot("20:00", "fill = \"promos/\"\n"));
        assert!(level == Level::Warn && text.contains("cannot play: fill: "), "{text}");
        let (level, text) = look(&(slot("20:00", "") + &slot("20:10", "").replace("News", "More")));
        assert!(level == Level::Warn && text.contains("\"More\" begins within it"), "{text}");
    }
}
