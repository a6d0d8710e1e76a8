//! Sends incidents to a URL as JSON, one at a time, in a thread of its own. What is due follows
//! from the incidents, so nothing is lost while the server is away.
//!
//! With a secret each request carries `X-Tgs-Signature: sha256=`, the HMAC-SHA256 of the body in
//! hexadecimal.

use std::{
    fmt::Write as _,
    sync::{
        Arc,
        mpsc::{self, Receiver, SyncSender},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;
use ring::hmac;
use tgs_core::{mask, secret::Secret, supervise::contain};
use tgs_telegram::bot::BotWake;
use ureq::{
    Agent,
    tls::{Certificate, RootCerts, TlsConfig},
};

/// Time limit of a request.
const TIME_OUT: Duration = Duration::from_secs(10);
/// Waits after a failed request: they double up to the longest.
const FIRST_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_mins(5);

/// Where incidents are sent.
#[derive(Debug, Clone)]
pub(crate) struct WebhookTarget {
    /// `NOTIFY_WEBHOOK`; secret, since such addresses often contain a key.
    pub(crate) url: Secret<String>,
    /// `NOTIFY_SECRET`
    pub(crate) secret: Option<Secret<String>>,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WebhookOutcome {
    /// The server has it, or never wants it.
    Settled,
    /// It is to be sent again.
    Failed,
}

/// The thread that sends.
#[derive(Debug)]
pub(crate) struct Webhook {
    bodies: SyncSender<String>,
    outcomes: Receiver<WebhookOutcome>,
    /// Whether a request is under way.
    is_busy: bool,
    wait: Duration,
    not_before: Option<Instant>,
}

impl Webhook {
    /// Starts the thread. Each outcome wakes the receiver of updates.
    pub(crate) fn start(target: WebhookTarget, wake: &BotWake) -> anyhow::Result<Self> {
        let (bodies, waiting) = mpsc::sync_channel::<String>(1);
        let (done, outcomes) = mpsc::sync_channel(1);
        let wake = wake.clone();
        let work = move || {
            let agent = agent();
            while let Ok(body) = waiting.recv() {
                let outcome = contain(|| post(&agent, &target, &body)).unwrap_or(WebhookOutcome::Failed);
                if done.send(outcome).is_err() {
                    return;
                }
                wake.wake();
            }
        };
        thread::Builder::new().name("webhook".into()).spawn(work).context("start a thread")?;
        Ok(Self { bodies, outcomes, is_busy: false, wait: FIRST_WAIT, not_before: None })
    }

    /// Whether a body can be sent now.
    pub(crate) fn is_free(&self, now: Instant) -> bool {
        !self.is_busy && self.not_before.is_none_or(|time| now >= time)
    }

    /// Sends a body. Call only while [`Webhook::is_free`].
    pub(crate) fn send(&mut self, body: String) {
        self.is_busy = self.bodies.try_send(body).is_ok();
    }

    /// The outcome of the body that was sent, once.
    pub(crate) fn outcome(&mut self, now: Instant) -> Option<WebhookOutcome> {
        let outcome = self.outcomes.try_recv().ok()?;
        self.is_busy = false;
        match outcome {
            WebhookOutcome::Settled => (self.wait, self.not_before) = (FIRST_WAIT, None),
            WebhookOutcome::Failed => {
                self.not_before = Some(now + self.wait);
                self.wait = (self.wait * 2).min(LONGEST_WAIT);
            }
        }
        Some(outcome)
    }
}

/// An agent that keeps no connections and follows no redirects.
fn agent() -> Agent {
    let roots = rustls_native_certs::load_native_certs().certs;
    let roots: Vec<_> = roots.iter().map(|root| Certificate::from_der(root).to_owned()).collect();
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build();
    Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(TIME_OUT))
        .max_redirects(0)
        .http_status_as_error(false)
        .max_idle_connections(0)
        .max_response_header_size(32 << 10)
        .user_agent(concat!("tgs-bot/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent()
}

fn post(agent: &Agent, target: &WebhookTarget, body: &str) -> WebhookOutcome {
    let mut request = agent.post(target.url.expose()).header("content-type", "application/json");
    if let Some(secret) = &target.secret {
        request = request.header("x-tgs-signature", signature(secret, body));
    }
    match request.send(body) {
        Ok(answer) => match answer.status().as_u16() {
            200..300 => WebhookOutcome::Settled,
            code @ (408 | 429 | 500..) => {
                log::warn!("NOTIFY_WEBHOOK answers {code}; trying again");
                WebhookOutcome::Failed
            }
            code => {
                log::warn!("NOTIFY_WEBHOOK refuses an incident: {code}");
                WebhookOutcome::Settled
            }
        },
        Err(error) => {
            let text = error.to_string().replace(target.url.expose(), "its URL");
            log::warn!("NOTIFY_WEBHOOK cannot be reached: {}; trying again", mask::urls(&text));
            WebhookOutcome::Failed
        }
    }
}

fn signature(secret: &Secret<String>, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
    let mut text = "sha256=".to_owned();
    for byte in hmac::sign(&key, body.as_bytes()).as_ref() {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader, Read, Write},
        net::TcpListener,
    };

    use super::*;

    /// Answers requests with these codes; each request's signature and body.
    fn serve(codes: &'static [u16]) -> (String, Receiver<(String, String)>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook?key=hidden", listener.local_addr().unwrap());
        let (sender, received) = mpsc::channel();
        thread::spawn(move || {
            for code in codes {
                let (mut stream, _) = listener.accept().unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let (mut signature, mut length) = (String::new(), 0);
                loop {
                    let mut line = String::new();
                    reader.read_line(&mut line).unwrap();
                    let Some((name, value)) = line.trim_end().split_once(": ") else {
                        if line == "\r\n" {
                            break;
                        }
                        continue;
                    };
                    match &*name.to_ascii_lowercase() {
                        "x-tgs-signature" => value.clone_into(&mut signature),
                        "content-length" => length = value.parse().unwrap(),
                        _ => {}
                    }
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                let answer = format!("HTTP/1.1 {code} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).unwrap();
                sender.send((signature, String::from_utf8(body).unwrap())).unwrap();
            }
        });
        (url, received)
    }

    #[test]
    fn requests_are_signed_and_judged_by_their_answer() {
        let (url, received) = serve(&[204, 503, 404]);
        let secret = Secret::new("Jefe".to_owned());
        let target = WebhookTarget { url: Secret::new(url), secret: Some(secret.clone()) };
        let agent = agent();
        let outcomes = [WebhookOutcome::Settled, WebhookOutcome::Failed, WebhookOutcome::Settled];
        for outcome in outcomes {
            assert_eq!(post(&agent, &target, "{}"), outcome);
            assert_eq!(received.recv().unwrap(), (signature(&secret, "{}"), "{}".to_owned()));
        }
        // Nobody listens any more.
        assert_eq!(post(&agent, &target, "{}"), WebhookOutcome::Failed);
        assert!(!format!("{target:?}").contains("hidden"));
        // RFC 4231, test case 2.
        assert_eq!(
            signature(&secret, "what do ya want for nothing?"),
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn a_failed_request_is_repeated_later() {
        let (url, received) = serve(&[500, 200]);
        let target = WebhookTarget { url: Secret::new(url), secret: None };
        let mut webhook = Webhook::start(target, &BotWake::default()).unwrap();
        let now = Instant::now();
        let outcome = |webhook: &mut Webhook, body: &str| {
            assert!(webhook.is_free(now + LONGEST_WAIT));
            webhook.send(body.to_owned());
            assert!(!webhook.is_free(now + LONGEST_WAIT));
            assert_eq!(received.recv().unwrap(), (String::new(), body.to_owned()));
            loop {
                if let Some(outcome) = webhook.outcome(now) {
                    return outcome;
                }
                thread::yield_now();
            }
        };
        assert_eq!(outcome(&mut webhook, "1"), WebhookOutcome::Failed);
        assert!(!webhook.is_free(now) && webhook.is_free(now + FIRST_WAIT));
        assert_eq!(outcome(&mut webhook, "1"), WebhookOutcome::Settled);
        assert!(webhook.is_free(now));
    }
}
