//! The figures: measured value, target, and the value of the other side.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result};
use serde::Serialize;

/// One line of the table.
#[derive(Debug, Serialize)]
pub(super) struct Figure {
    /// What was measured.
    pub(super) name: &'static str,
    /// In what.
    pub(super) unit: &'static str,
    /// The most it may be; infinite where no value misses it.
    pub(super) target: f64,
    /// Which value of several is held against the target.
    pub(super) judged: Judged,
    /// One value a run.
    pub(super) measured: Vec<f64>,
    /// The same of the other side, measured beside it, and what that is.
    pub(super) baseline: Option<(&'static str, Vec<f64>)>,
    /// Remarks: how long, how many, what else was seen.
    pub(super) note: String,
}

/// How several runs become one verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Judged {
    /// By the median: costs.
    Median,
    /// By the worst: promises to viewers.
    Worst,
}

impl Figure {
    /// Whether the target is met. No measurement counts as a miss.
    pub(super) fn met(&self) -> bool {
        self.verdict() <= self.target
    }

    fn verdict(&self) -> f64 {
        match self.judged {
            Judged::Median => median(&self.measured),
            Judged::Worst => self.measured.iter().copied().fold(f64::NAN, f64::max),
        }
    }
}

/// The middle value, or the mean of the two in the middle; NaN of nothing.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

/// `median (least…most)`.
fn summary(values: &[f64]) -> String {
    let least = values.iter().copied().fold(f64::NAN, f64::min);
    let most = values.iter().copied().fold(f64::NAN, f64::max);
    if values.len() == 1 {
        short(least)
    } else {
        format!("{} ({}…{})", short(median(values)), short(least), short(most))
    }
}

/// Three digits or so.
fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 1.0 => format!("{value:.2}"),
        v if v >= 0.1 || v == 0.0 => format!("{value:.3}"),
        _ => format!("{value:.4}"),
    }
}

/// `≤ target`; nothing where every value is allowed.
fn allowed(target: f64) -> String {
    if target.is_infinite() { String::new() } else { format!("≤ {}", short(target)) }
}

/// Prints all figures and, below, what misses.
pub(super) fn print_table(figures: &[Figure]) {
    println!("\n{:<48} {:>4} {:>8}  {:<22} baseline", "figure", "", "target", "median (least…most)");
    for figure in figures {
        let verdict = if figure.met() { "ok" } else { "MISS" };
        let target = allowed(figure.target);
        let name = format!("{}, {}", figure.name, figure.unit);
        let baseline = figure
            .baseline
            .as_ref()
            .map(|(name, values)| format!("{} {name}", summary(values)))
            .unwrap_or_default();
        println!("{name:<48} {verdict:>4} {target:>8}  {:<22} {baseline}", summary(&figure.measured));
        if !figure.note.is_empty() {
            println!("    {}", figure.note);
        }
    }
    let missed: Vec<_> = figures.iter().filter(|figure| !figure.met()).map(|figure| figure.name).collect();
    if missed.is_empty() {
        println!("every figure keeps its target");
    } else {
        println!("misses its target: {}", missed.join("; "));
    }
}

/// The same as a Markdown table, for docs/design/performance.md, below the machine's description.
pub(super) fn print_markdown(figures: &[Figure], machine: &str) {
    print!("\n{}", markdown(figures, machine));
}

fn markdown(figures: &[Figure], machine: &str) -> String {
    let row = |figure: &Figure| {
        let beside = figure.baseline.as_ref();
        let beside = beside.map(|(name, values)| format!("{} {name}", summary(values))).unwrap_or_default();
        let verdict = if figure.met() { "" } else { " **missed**" };
        format!(
            "| {}, {} | {} | {}{verdict} | {beside} | {} |\n",
            figure.name,
            figure.unit,
            allowed(figure.target),
            summary(&figure.measured),
            figure.note
        )
    };
    let rows: String = figures.iter().map(row).collect();
    format!(
        "Measured on: {machine}\n\n| figure | target | median (least…most) | beside it | notes |\n|---|---|---|---|---|\n{rows}"
    )
}

/// The processor, how much of it others used at the beginning, the kernel and the ffmpeg.
pub(super) fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    let version = Command::new("ffmpeg").arg("-version").output().map(|output| output.stdout);
    let version = String::from_utf8_lossy(&version.unwrap_or_default()).into_owned();
    format!(
        "{count} cores of {}, Linux {}, ffmpeg {}; load before: {}",
        model.map_or("an unknown processor", |(_, model)| model),
        kernel.trim(),
        version.split_whitespace().nth(2).unwrap_or("unknown"),
        load.split(' ').next().unwrap_or("unknown")
    )
}

/// Writes the figures to `path`.
pub(super) fn write_json(figures: &[Figure], path: &Path) -> Result<()> {
    let json = serde_json::to_vec_pretty(figures)?;
    fs::write(path, json).with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(judged: Judged, measured: Vec<f64>) -> Figure {
        Figure { name: "x", unit: "s", target: 2.0, judged, measured, baseline: None, note: String::new() }
    }

    #[test]
    fn the_middle_or_the_worst_is_held_against_the_target() {
        assert!(figure(Judged::Median, vec![1.0, 1.5, 9.0]).met());
        assert!(!figure(Judged::Worst, vec![1.0, 1.5, 9.0]).met());
        assert!(!figure(Judged::Median, vec![]).met(), "nothing measured is a miss");
        assert!(!figure(Judged::Worst, vec![]).met(), "nothing measured is a miss");
    }

    #[test]
    fn the_table_in_markdown_names_what_is_missed() {
        let mut one = figure(Judged::Median, vec![3.0]);
        one.baseline = Some(("other", vec![4.0, 5.0]));
        let text = markdown(&[one], "a machine");
        assert!(text.starts_with("Measured on: a machine\n\n| figure "), "{text}");
        assert!(
            text.ends_with("| x, s | ≤ 2.00 | 3.00 **missed** | 4.50 (4.00…5.00) other |  |\n"),
            "{text}"
        );
    }

    #[test]
    fn several_values_show_their_spread() {
        assert_eq!(summary(&[3.0, 1.0, 2.0]), "2.00 (1.00…3.00)");
        assert_eq!(summary(&[0.01234]), "0.0123");
        assert!((median(&[1.0, 2.0, 3.0, 4.0]) - 2.5).abs() < 1e-9);
    }
}
