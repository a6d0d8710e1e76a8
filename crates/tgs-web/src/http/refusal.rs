//! Answers that refuse a request: a status, a code for the page's language, and words.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;
use tgs_control::{
    ControlError,
    rpc::{ErrorCode, RpcError},
};

/// A refused request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HttpRefusal {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl HttpRefusal {
    /// A refusal that the page names by `code`.
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    pub(super) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "a fault of tgs-web; its log says more")
    }

    pub(super) fn late() -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, "late", "there was no answer in time")
    }

    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "there is no such page")
    }

    pub(super) fn no_channel() -> Self {
        Self::new(StatusCode::NOT_FOUND, "no_channel", "there is no channel with this name")
    }

    pub(super) fn plain() -> Self {
        Self::new(StatusCode::FORBIDDEN, "plain", "this connection is not encrypted; use the https address")
    }

    pub(super) fn cross_origin() -> Self {
        Self::new(StatusCode::FORBIDDEN, "cross_origin", "the request comes from another site")
    }

    pub(super) fn not_signed_in() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "not_signed_in", "sign in first")
    }

    pub(super) fn wrong_password() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "wrong_password", "the name or the password is wrong")
    }

    pub(super) fn timetable_changed() -> Self {
        Self::new(StatusCode::CONFLICT, "changed", "the timetable has changed meanwhile; it was read again")
    }

    pub(super) fn viewer() -> Self {
        Self::new(StatusCode::FORBIDDEN, "viewer", "viewers may watch, but not send commands")
    }

    pub(super) fn too_many_tries() -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_tries", "too many tries; wait a minute")
    }

    pub(super) fn busy() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "too many browsers at once; try again later")
    }

    /// The library's directories do not answer.
    pub(super) fn library() -> Self {
        let why = "the library is busy, or one of its directories does not answer; try again later";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "library", why)
    }

    /// The broadcast does not answer.
    pub(super) fn channel_busy() -> Self {
        let why = "the broadcast answers too slowly; try again later";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "channel_busy", why)
    }

    pub(super) fn not_running() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "not_running", "the broadcast is not running")
    }
}

impl From<ControlError> for HttpRefusal {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::NotRunning(_) => Self::not_running(),
            ControlError::Denied(_) => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "denied",
                "tgs-web may not use the control socket; its user must be in the group tgstream",
            ),
            ControlError::Refused(error) => error.into(),
            error => Self::new(StatusCode::BAD_GATEWAY, "broadcast", error.to_string()),
        }
    }
}

impl From<RpcError> for HttpRefusal {
    fn from(error: RpcError) -> Self {
        let status = if error.is(ErrorCode::Refused) {
            StatusCode::CONFLICT
        } else if error.is(ErrorCode::NotFound) {
            StatusCode::NOT_FOUND
        } else if error.is(ErrorCode::Limit) {
            StatusCode::SERVICE_UNAVAILABLE
        } else if error.is(ErrorCode::Internal) {
            StatusCode::BAD_GATEWAY
        } else {
            StatusCode::BAD_REQUEST
        };
        Self::new(status, "refused", error.message)
    }
}

impl IntoResponse for HttpRefusal {
    fn into_response(self) -> Response {
        let body = Json(json!({ "code": self.code, "message": self.message }));
        let mut response = (self.status, body).into_response();
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
        }
        response
    }
}
