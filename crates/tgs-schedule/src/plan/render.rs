//! The plan as a table for the terminal.

use std::{fmt, time::Duration};

use tgs_core::time::clock;

use super::rows::{Plan, PlanRow, RowKind};

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut date = "";
        for row in &self.rows {
            let (today, time) = row.local.split_once('T').unwrap_or(("", &row.local));
            if today != date {
                if !date.is_empty() {
                    writeln!(f)?;
                }
                writeln!(f, "{today}, {}", self.timezone)?;
                writeln!(f, "{:14}  {:>9}  {:5}  WHAT", "START", "LENGTH", "MODE")?;
                date = today;
            }
            let mode = row.starts.map(|start| start.to_string()).unwrap_or_default();
            writeln!(f, "{time:14}  {:>9}  {mode:5}  {}", length(row), what(row))?;
            for warning in &row.warnings {
                writeln!(f, "{:14}  {:>9}  {:5}  ! {}", "", "", "", warning.text)?;
            }
        }
        for warning in &self.warnings {
            writeln!(f, "! {}", warning.text)?;
        }
        Ok(())
    }
}

fn length(row: &PlanRow) -> String {
    let length = clock(Duration::try_from_secs_f64(row.length_seconds).unwrap_or_default());
    match row.kind {
        RowKind::Never => "-".to_owned(),
        _ if row.open => format!("<= {length}"),
        _ => length,
    }
}

fn what(row: &PlanRow) -> String {
    let name = row.name.as_deref().unwrap_or_default();
    match row.kind {
        RowKind::List => "(list)".to_owned(),
        RowKind::Fill => format!("{name}: filler"),
        RowKind::Slot if row.resumed => format!("{name}, continued"),
        RowKind::Slot | RowKind::Never => name.to_owned(),
    }
}
