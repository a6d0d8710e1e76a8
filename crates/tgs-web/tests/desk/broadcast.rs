//! A broadcast as far as its control socket shows it: answers from memory, and remembers what it is
//! asked.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

/// A broadcast with a control socket.
pub(crate) struct Played {
    pub(crate) socket: PathBuf,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
    names: Arc<Mutex<Vec<String>>>,
    subscribers: Arc<Mutex<Vec<UnixStream>>>,
}

impl Played {
    /// Listens at `control.sock` in `dir`.
    pub(crate) fn start(dir: &Path) -> Self {
        let socket = dir.join("control.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let played =
            Self { socket, asked: Arc::default(), names: Arc::default(), subscribers: Arc::default() };
        let (asked, names, subscribers) =
            (played.asked.clone(), played.names.clone(), played.subscribers.clone());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (asked, names, subscribers) = (asked.clone(), names.clone(), subscribers.clone());
                thread::spawn(move || serve(stream, &asked, &names, &subscribers));
            }
        });
        played
    }

    /// The commands that were sent, with their parameters.
    pub(crate) fn commands(&self) -> Vec<(String, Value)> {
        self.asked.lock().unwrap().clone()
    }

    /// The names that clients stated.
    pub(crate) fn names(&self) -> Vec<String> {
        self.names.lock().unwrap().clone()
    }

    /// Tells all subscribers of an event.
    pub(crate) fn event(&self, event: &Value) {
        let line = format!("{}\n", json!({ "jsonrpc": "2.0", "method": "event", "params": event }));
        for stream in &mut *self.subscribers.lock().unwrap() {
            stream.write_all(line.as_bytes()).unwrap();
        }
    }
}

/// What `monitor` sends first.
pub(crate) const FLV: &[u8] = b"FLV\x01\x05\0\0\0\x09\0\0\0\0";

fn serve(
    mut stream: UnixStream,
    asked: &Mutex<Vec<(String, Value)>>,
    names: &Mutex<Vec<String>>,
    subscribers: &Mutex<Vec<UnixStream>>,
) {
    let hello = json!({ "server": "tgs-stream", "version": "0.1.0", "protocol": 1, "channel": "main" });
    let line = json!({ "jsonrpc": "2.0", "method": "hello", "params": hello });
    if stream.write_all(format!("{line}\n").as_bytes()).is_err() {
        return;
    }
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    while let Some(Ok(line)) = lines.next() {
        let request: Value = serde_json::from_str(&line).unwrap();
        let method = request["method"].as_str().unwrap().to_owned();
        let result = match &*method {
            "hello" => {
                names.lock().unwrap().push(request["params"]["client"].as_str().unwrap().to_owned());
                hello.clone()
            }
            "status" => json!({
                "on_air": { "state": "item", "id": "/a.mp4", "title": "A film", "offset_seconds": 3.0 },
                "publisher": { "state": "connected" },
                "readahead_seconds": 4.0,
                "upcoming": ["B"],
            }),
            "queue.list" => {
                json!({ "entries": [{ "id": 7, "source": "/q.mp4", "title": "q", "on_air": false }] })
            }
            "asrun.list" => json!({ "entries": [
                { "n": 1, "kind": "item", "title": "=1+1", "start": "2026-02-28T10:00:00.000Z", "ended": "played" },
            ] }),
            "queue.add" => json!({ "id": 8 }),
            _ => json!({}),
        };
        if !["hello", "status", "subscribe"].contains(&&*method) {
            asked.lock().unwrap().push((method.clone(), request["params"].clone()));
        }
        let mut answer = json!({ "jsonrpc": "2.0", "id": request["id"], "result": result });
        if method == "previous" {
            answer = json!({ "jsonrpc": "2.0", "id": request["id"],
                "error": { "code": -32001, "message": "there is no item before this one" } });
        }
        if stream.write_all(format!("{answer}\n").as_bytes()).is_err() {
            return;
        }
        match &*method {
            "subscribe" => subscribers.lock().unwrap().push(stream.try_clone().unwrap()),
            "monitor" => {
                let _ = stream.write_all(FLV);
                // Until the desk leaves.
                while stream.write_all(&[0; 64]).is_ok() {
                    thread::sleep(Duration::from_millis(20));
                }
                return;
            }
            _ => {}
        }
    }
}
