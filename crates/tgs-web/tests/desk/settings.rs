//! Starting, users, and certificates.

use std::{fs, path::Path, process::Command, sync::Arc, time::Duration};

use rustls::crypto::ring;
use serde_json::json;

use crate::desk::{Desk, PASSWORD, tool, user};

#[test]
fn beyond_loopback_it_does_not_start_without_tls() {
    let dir = tempfile::tempdir().unwrap();
    let env_file = dir.path().join("web.env");
    fs::write(&env_file, "WEB_LISTEN=0.0.0.0:0\nWEB_USERS_FILE=/nonexistent/users\n").unwrap();
    let output = tool().arg("--env-file").arg(&env_file).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(78), "{text}");
    assert!(text.contains("WEB_TLS_CERT") && text.contains("WEB_BEHIND_PROXY=1"), "{text}");
    fs::write(&env_file, "WEB_TLS_CERT=/nonexistent/c\nWEB_TLS_KEY=/nonexistent/k\n").unwrap();
    let output = tool().arg("--env-file").arg(&env_file).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(78) && text.contains("/nonexistent/c"), "{text}");
}

#[test]
fn users_are_added_listed_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let env_file = dir.path().join("web.env");
    fs::write(&env_file, format!("WEB_USERS_FILE={}\n", dir.path().join("users").display())).unwrap();
    let run = |args: &[&str], password: &str| {
        let output = user(&env_file, args, password);
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code(), text)
    };
    assert_eq!(run(&["add", "anna"], "short").0, Some(1));
    assert_eq!(run(&["add", "an na"], PASSWORD).0, Some(1));
    assert_eq!(run(&["add", "anna"], PASSWORD).0, Some(0));
    assert_eq!(run(&["add", "ben", "--viewer"], PASSWORD).0, Some(0));
    assert_eq!(run(&["list"], ""), (Some(0), "anna operator\nben viewer\n".into()));
    assert!(run(&["add", "anna", "--viewer"], PASSWORD).1.contains("new password"));
    assert_eq!(run(&["remove", "ben"], "").0, Some(0));
    assert_eq!(run(&["remove", "ben"], "").0, Some(1));
    assert_eq!(run(&["list"], ""), (Some(0), "anna viewer\n".into()));
    let text = fs::read_to_string(dir.path().join("users")).unwrap();
    assert!(!text.contains(PASSWORD) && text.contains("anna:viewer:$argon2id$"), "{text}");
}

/// Makes a certificate for 127.0.0.1 with this common name.
fn certificate(dir: &Path, name: &str) {
    let output = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-subj", &format!("/CN={name}")])
        .arg("-keyout")
        .arg(dir.join("key.pem"))
        .arg("-out")
        .arg(dir.join("cert.pem"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// A client that accepts any certificate.
fn agent() -> ureq::Agent {
    let tls = ureq::tls::TlsConfig::builder()
        .disable_verification(true)
        .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
        .build();
    ureq::Agent::config_builder()
        .tls_config(tls)
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(20)))
        .build()
        .into()
}

/// The common name of the desk's certificate.
fn shown(desk: &Desk) -> String {
    let text = Command::new("sh")
        .arg("-c")
        .arg(format!(
            "openssl s_client -connect {} </dev/null 2>&1 | openssl x509 -noout -subject",
            desk.address
        ))
        .output()
        .unwrap();
    String::from_utf8_lossy(&text.stdout).into_owned()
}

#[test]
fn under_tls_the_cookie_is_secure_and_a_renewed_certificate_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    certificate(dir.path(), "first");
    let at = |name: &str| dir.path().join(name).display().to_string();
    let settings = format!("WEB_TLS_CERT={}\nWEB_TLS_KEY={}", at("cert.pem"), at("key.pem"));
    let desk = Desk::with(&settings, &[]);
    let agent = agent();
    let origin = format!("https://{}", desk.address);
    let body = json!({ "name": "anna", "password": PASSWORD }).to_string();
    let sign_in = |origin: &str| {
        agent
            .post(format!("https://{}/api/sign-in", desk.address))
            .header("origin", origin)
            .header("content-type", "application/json")
            .send(&body)
            .unwrap()
    };
    assert_eq!(sign_in(&format!("http://{}", desk.address)).status(), 403);
    let answer = sign_in(&origin);
    assert_eq!(answer.status(), 200);
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.starts_with("__Host-tgs-desk=") && cookie.ends_with("; Secure"), "{cookie}");
    assert!(shown(&desk).contains("first"), "{}", shown(&desk));

    // Half of a renewal: the certificate before stays.
    fs::write(dir.path().join("cert.pem"), "no certificate").unwrap();
    std::thread::sleep(Duration::from_millis(1100));
    assert!(shown(&desk).contains("first"));
    certificate(dir.path(), "second");
    std::thread::sleep(Duration::from_millis(1100));
    assert!(shown(&desk).contains("second"), "{}", shown(&desk));
    let log = desk.end();
    assert!(log.contains("keeping the one before") && log.contains("was renewed"), "{log}");
}
