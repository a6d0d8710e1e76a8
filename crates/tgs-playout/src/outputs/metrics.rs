//! The metrics of the further outputs, by their names.

use std::sync::LazyLock;

use prometheus::{
    Counter, CounterVec, Gauge, GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    register_counter_vec, register_gauge_vec, register_int_counter_vec, register_int_gauge_vec,
};

/// The label.
const OUTPUT: &[&str] = &["output"];

/// The metrics of one output.
#[derive(Debug)]
pub(super) struct OutputMetrics {
    pub(super) connected: IntGauge,
    pub(super) paused: IntGauge,
    pub(super) sent_bytes: IntCounter,
    pub(super) reconnects: IntCounter,
    pub(super) dropped_seconds: Counter,
    pub(super) queue_seconds: Gauge,
}

#[derive(Debug)]
struct AllOutputMetrics {
    connected: IntGaugeVec,
    paused: IntGaugeVec,
    sent_bytes: IntCounterVec,
    reconnects: IntCounterVec,
    dropped_seconds: CounterVec,
    queue_seconds: GaugeVec,
}

static ALL: LazyLock<AllOutputMetrics> =
    LazyLock::new(|| AllOutputMetrics::register().expect("metric names are constants and registered once"));

impl AllOutputMetrics {
    fn register() -> prometheus::Result<Self> {
        Ok(Self {
            connected: register_int_gauge_vec!(
                "tgs_output_connected",
                "1 while an output of ALSO_OUTPUT_URLS is connected, else 0; absent without such outputs.",
                OUTPUT
            )?,
            paused: register_int_gauge_vec!(
                "tgs_output_paused",
                "1 while an operator has paused an output of ALSO_OUTPUT_URLS, else 0; absent without such \
                 outputs.",
                OUTPUT
            )?,
            sent_bytes: register_int_counter_vec!(
                "tgs_output_sent_bytes_total",
                "Media bytes sent to an output of ALSO_OUTPUT_URLS; absent without such outputs.",
                OUTPUT
            )?,
            reconnects: register_int_counter_vec!(
                "tgs_output_reconnects_total",
                "Connections to an output of ALSO_OUTPUT_URLS made again after one was lost; absent without such \
                 outputs.",
                OUTPUT
            )?,
            dropped_seconds: register_counter_vec!(
                "tgs_output_dropped_seconds_total",
                "Seconds of media that an output of ALSO_OUTPUT_URLS has missed over open connections, because it was \
                 too slow; absent without such outputs.",
                OUTPUT
            )?,
            queue_seconds: register_gauge_vec!(
                "tgs_output_queue_seconds",
                "Seconds of media that wait for an output of ALSO_OUTPUT_URLS; absent without such outputs.",
                OUTPUT
            )?,
        })
    }
}

impl OutputMetrics {
    /// The metrics of the output `name`; its series exist from now on.
    pub(super) fn of(name: &str) -> Self {
        let name = &[name];
        Self {
            connected: ALL.connected.with_label_values(name),
            paused: ALL.paused.with_label_values(name),
            sent_bytes: ALL.sent_bytes.with_label_values(name),
            reconnects: ALL.reconnects.with_label_values(name),
            dropped_seconds: ALL.dropped_seconds.with_label_values(name),
            queue_seconds: ALL.queue_seconds.with_label_values(name),
        }
    }
}
