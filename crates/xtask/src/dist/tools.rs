//! The programs of a release.

/// The installed programs and their command lines.
pub(crate) fn tools() -> [(&'static str, clap::Command); 6] {
    [
        ("tgs-stream", tgs_stream::command()),
        ("tgs-session", tgs_session::command()),
        ("tgs-diag", tgs_diag::command()),
        ("tgs-check-active", tgs_check_active::command()),
        ("tgs-ytdlp-update", tgs_ytdlp_update::command()),
        ("tgs-web", tgs_web::command()),
    ]
}
