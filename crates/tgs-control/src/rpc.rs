//! JSON-RPC 2.0 over a stream, one message a line: envelopes and error codes. Knows no method.
//!
//! Source: <https://www.jsonrpc.org/specification>. Two restrictions: no batches, and parameters by
//! name only.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// Longest message that a server accepts, in bytes, without the newline.
pub const LONGEST_MESSAGE: usize = 64 << 10;

/// Longest message that a client accepts: a listing of 1,000 entries.
pub const LONGEST_ANSWER: usize = 16 << 20;

/// A request: a method, its parameters, and the ID that its answer repeats.
#[derive(Debug, Clone, PartialEq)]
pub struct RpcRequest {
    /// The client's ID; `None` in a notification, which gets no answer.
    pub id: Option<Value>,
    /// The method's name.
    pub method: String,
    /// The parameters: an object, empty if the request has none.
    pub params: Value,
}

/// An error of a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct RpcError {
    /// The class; see [`ErrorCode`].
    pub code: i64,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// The classes of errors. The first four are those of JSON-RPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    /// The line is not JSON.
    Parse,
    /// The line is JSON, but not a request.
    InvalidRequest,
    /// No method has this name.
    UnknownMethod,
    /// A parameter is missing, unknown, or has a wrong value.
    InvalidParams,
    /// A fault of the server.
    Internal,
    /// The broadcast refuses the command in its present state.
    Refused,
    /// A limit is reached: connections, subscribers, monitors or queue entries.
    Limit,
    /// The named entry does not exist.
    NotFound,
}

impl ErrorCode {
    /// All codes.
    pub const ALL: [Self; 8] = [
        Self::Parse,
        Self::InvalidRequest,
        Self::UnknownMethod,
        Self::InvalidParams,
        Self::Internal,
        Self::Refused,
        Self::Limit,
        Self::NotFound,
    ];

    /// The number in [`RpcError::code`].
    #[must_use]
    pub fn number(self) -> i64 {
        match self {
            Self::Parse => -32700,
            Self::InvalidRequest => -32600,
            Self::UnknownMethod => -32601,
            Self::InvalidParams => -32602,
            Self::Internal => -32603,
            Self::Refused => -32001,
            Self::Limit => -32002,
            Self::NotFound => -32003,
        }
    }

    /// The class in words, for the documentation.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Parse => "the line is not JSON",
            Self::InvalidRequest => "the line is JSON, but not a request; or it is longer than 65,536 bytes",
            Self::UnknownMethod => "no method has this name",
            Self::InvalidParams => "a parameter is missing, unknown, or has a wrong value",
            Self::Internal => "a fault of tgs-stream; its log says more",
            Self::Refused => "the broadcast refuses the command in its present state",
            Self::Limit => "a limit is reached: connections, subscribers, monitors or queue entries",
            Self::NotFound => "the entry that the request names does not exist",
        }
    }
}

impl RpcError {
    /// An error of class `code`.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code: code.number(), message: message.into() }
    }

    /// Whether the error is of class `code`.
    #[must_use]
    pub fn is(&self, code: ErrorCode) -> bool {
        self.code == code.number()
    }
}

/// Parses one line of a client. The error comes with the ID for its answer, `null` if unknown.
pub fn parse_request(line: &[u8]) -> Result<RpcRequest, (Value, RpcError)> {
    let parsed: Value = serde_json::from_slice(line).map_err(|error| {
        let message = format!("the line is not JSON: {error}; each message is one line of JSON");
        (Value::Null, RpcError::new(ErrorCode::Parse, message))
    })?;
    let invalid = |id: &Value, message: &str| {
        (id.clone(), RpcError::new(ErrorCode::InvalidRequest, message.to_owned()))
    };
    let Value::Object(mut fields) = parsed else {
        let batch = "a request is an object; send each on a line of its own, batches are not supported";
        return Err(invalid(&Value::Null, batch));
    };
    let id = fields.remove("id");
    let known = match &id {
        None | Some(Value::String(_) | Value::Number(_)) => id.clone().unwrap_or_default(),
        Some(Value::Null) => Value::Null,
        Some(_) => return Err(invalid(&Value::Null, "`id` is a string or a number")),
    };
    if fields.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return Err(invalid(&known, "`jsonrpc` must be \"2.0\""));
    }
    let Some(Value::String(method)) = fields.remove("method") else {
        return Err(invalid(&known, "`method` must be the name of a method"));
    };
    let params = match fields.remove("params") {
        None | Some(Value::Null) => json!({}),
        Some(params @ Value::Object(_)) => params,
        Some(_) => {
            let message = "parameters are given by name, as an object";
            return Err((known, RpcError::new(ErrorCode::InvalidParams, message)));
        }
    };
    Ok(RpcRequest { id, method, params })
}

/// The line of a request, with its newline.
#[must_use]
pub fn request_line(id: u64, method: &str, params: &Value) -> String {
    line(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }))
}

/// The line of an answer, with its newline.
#[must_use]
pub fn answer_line(id: &Value, answer: &Result<Value, RpcError>) -> String {
    match answer {
        // A result may be long, and is not copied.
        Ok(result) => format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{result}}}\n"),
        Err(error) => line(&json!({ "jsonrpc": "2.0", "id": id, "error": error })),
    }
}

/// The line of a notification, with its newline.
#[must_use]
pub fn notification_line(method: &str, params: &Value) -> String {
    line(&json!({ "jsonrpc": "2.0", "method": method, "params": params }))
}

fn line(message: &Value) -> String {
    format!("{message}\n")
}

/// What a client receives.
#[derive(Debug, Clone, PartialEq)]
pub enum RpcMessage {
    /// The answer to the request with this ID.
    Answer(Value, Result<Value, RpcError>),
    /// A notification: its method and parameters.
    Notification(String, Value),
}

/// Parses one line of a server. Unknown fields are ignored.
pub fn parse_received(line: &[u8]) -> serde_json::Result<RpcMessage> {
    #[derive(Deserialize)]
    struct Envelope {
        #[serde(default)]
        id: Value,
        method: Option<String>,
        #[serde(default)]
        params: Value,
        #[serde(default)]
        result: Value,
        error: Option<RpcError>,
    }
    let envelope: Envelope = serde_json::from_slice(line)?;
    Ok(match envelope {
        Envelope { method: Some(method), params, .. } => RpcMessage::Notification(method, params),
        Envelope { id, error: Some(error), .. } => RpcMessage::Answer(id, Err(error)),
        Envelope { id, result, .. } => RpcMessage::Answer(id, Ok(result)),
    })
}

/// Parses parameters or results of type `T`.
pub fn parse_params<T: DeserializeOwned>(params: Value) -> Result<T, RpcError> {
    serde_json::from_value(params).map_err(|error| RpcError::new(ErrorCode::InvalidParams, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_a_method_and_named_parameters() {
        let read = |text: &str| parse_request(text.as_bytes());
        let request = read(r#"{"jsonrpc":"2.0","id":7,"method":"seek","params":{"to":3}}"#).unwrap();
        assert_eq!(
            request,
            RpcRequest { id: Some(json!(7)), method: "seek".into(), params: json!({ "to": 3 }) }
        );
        let request = read(r#"{"jsonrpc":"2.0","method":"next","extra":1}"#).unwrap();
        assert_eq!((request.id, request.params), (None, json!({})));
    }

    #[test]
    fn each_error_has_its_class_and_the_id_of_its_request() {
        for (text, id, code) in [
            ("", Value::Null, ErrorCode::Parse),
            ("{", Value::Null, ErrorCode::Parse),
            ("\u{0}", Value::Null, ErrorCode::Parse),
            ("[]", Value::Null, ErrorCode::InvalidRequest),
            ("1", Value::Null, ErrorCode::InvalidRequest),
            (r#"{"id":1,"method":"next"}"#, json!(1), ErrorCode::InvalidRequest),
            (r#"{"jsonrpc":"2.0","id":"a"}"#, json!("a"), ErrorCode::InvalidRequest),
            (r#"{"jsonrpc":"2.0","id":{},"method":"next"}"#, Value::Null, ErrorCode::InvalidRequest),
            (r#"{"jsonrpc":"2.0","id":2,"method":"next","params":[1]}"#, json!(2), ErrorCode::InvalidParams),
        ] {
            let (for_id, error) = parse_request(text.as_bytes()).unwrap_err();
            assert_eq!((for_id, error.code), (id, code.number()), "{text}: {error}");
        }
        assert_eq!(parse_request(&[0xff, 0xfe]).unwrap_err().1.code, ErrorCode::Parse.number());
    }

    #[test]
    fn the_lines_of_the_server_are_read_by_the_client() {
        let error = RpcError::new(ErrorCode::Refused, "nothing is being played");
        for sent in [Ok(json!({ "id": 3 })), Err(error)] {
            let line = answer_line(&json!(9), &sent);
            assert_eq!(line.matches('\n').count(), 1);
            assert_eq!(parse_received(line.as_bytes()).unwrap(), RpcMessage::Answer(json!(9), sent));
        }
        let line = notification_line("event", &json!({ "a": "b\nc" }));
        assert_eq!(line.matches('\n').count(), 1);
        let expected = RpcMessage::Notification("event".into(), json!({ "a": "b\nc" }));
        assert_eq!(parse_received(line.as_bytes()).unwrap(), expected);
    }
}
