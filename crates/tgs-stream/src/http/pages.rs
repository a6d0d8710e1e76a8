//! The content of the pages, given by the broadcast.

use tgs_control::Health;

/// The content of the pages. Called on the server's thread for each request: must not block.
pub struct Pages {
    /// `/healthz`: 200, or 503 with the reason.
    pub health: Box<dyn Fn() -> Health + Send>,
    /// `/status`: a JSON document.
    pub status_json: Box<dyn Fn() -> String + Send>,
}
