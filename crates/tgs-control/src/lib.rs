//! What a running `tgs-stream` shows and can be asked, and the clients for it.
//!
//! Holds the protocol of the control socket with its client, the types of `/status` and `/healthz`,
//! the status line of `systemctl status`, the address file of the metrics port, and an HTTP client.
//! The engine and `tgs-stream` serve both, count metrics and decide what is healthy.

mod address_file;
mod as_run;
mod broadcast_status;
pub mod channels;
mod client;
mod control_client;
mod events;
pub mod health;
mod hosts;
pub mod http_get;
mod listing;
mod live;
pub mod method;
mod null;
mod outputs;
mod publisher;
mod queue;
mod recording;
pub mod rpc;
mod running;
mod state_change;
mod status;
mod summary;
mod telegram;
mod timestamp;
mod timetable;

pub use address_file::{AddressError, AddressFile};
pub use as_run::{AsRunEntry, AsRunKind, AsRunListing, write_csv};
pub use broadcast_status::{BroadcastStatus, DiskSpace, Hello};
pub use client::{ClientError, StatusClient};
pub use control_client::{ControlClient, ControlError};
pub use events::{AiredItem, BroadcastEvent, CommandSender, ItemEnd};
pub use health::Health;
pub use hosts::{HostRole, HostsStatus, PresentHost};
pub use listing::{EntryState, ListedEntry, PlaylistPage};
pub use live::{LiveClient, LiveState, LiveStatus};
pub use outputs::{OutputListing, OutputStatus};
pub use publisher::PublisherState;
pub use queue::{QueueEntry, QueueListing};
pub use recording::{
    RecordCut, RecordGap, RecordListing, RecordMoment, RecordedFile, RecorderState, RecorderStatus,
};
pub use running::RunningStatus;
pub use state_change::StateChange;
pub use status::{EngineStatus, OnAir, PlayingItem, Status};
pub use telegram::{TelegramState, TelegramStatus, ViewerCheckStatus, ViewerPicture};
pub use timestamp::Timestamp;
pub use timetable::{SchedulePlan, ScheduleRow, ScheduleRowKind, ScheduleText, ScheduleWarning};
