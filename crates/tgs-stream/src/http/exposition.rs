//! The metrics in Prometheus' text format.

use prometheus::{TextEncoder, proto::MetricFamily};

/// Formats the families `wanted` in text format 0.0.4.
pub(super) fn render(wanted: impl Fn(&MetricFamily) -> bool) -> Result<String, prometheus::Error> {
    let mut families = prometheus::gather();
    // Without /proc/stat, the crate reports 1970.
    let untrue = |family: &MetricFamily| {
        family.name() == "process_start_time_seconds"
            && family.get_metric().iter().all(|metric| metric.get_gauge().get_value() == 0.0)
    };
    families.retain(|family| wanted(family) && !untrue(family));
    TextEncoder::new().encode_to_string(&families)
}
