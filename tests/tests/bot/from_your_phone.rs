//! The story of docs/guide/from-your-phone.md, as one test: trouble is reported, looked at, steered
//! away, and over. The operator is Telethon.

use std::{fs, process::Command};

use tgs_control::ControlClient;
use tgs_e2e::{
    broadcast::until,
    colours::{self, Beginning, Picture},
    ingest::Ingest,
};

use crate::{
    coloured,
    harness::{Bot, Hook, People, SECOND, Who::Alice, test_dc},
    title,
};

#[test]
fn trouble_is_reported_looked_at_steered_and_over() {
    let (dir, ingest, dc) = (tempfile::tempdir().unwrap(), Ingest::start().unwrap(), test_dc());
    let _broadcast = coloured(dir.path(), &ingest, &[("red", 8_000)]);
    let socket = dir.path().join("state/control.sock");
    let (media, hook) = (dir.path().join("media"), Hook::serve());
    fs::create_dir(&media).unwrap();
    fs::create_dir(dir.path().join("notes")).unwrap();
    let mut client = ControlClient::connect(&socket, "test").unwrap();
    until("the list", 30 * SECOND, || (title(&mut client) == "red").then_some(())).unwrap();
    let settings = [("BOT_MEDIA_DIR", media.to_str().unwrap())];
    let bot = Bot::start_with(&dc, dir.path(), &socket, &hook, &settings);
    let mut people = People::connect(&dc);
    // The bot cannot begin a chat.
    people.send(Alice, "/start");
    people.expect(Alice, "Ваш ID", &bot);

    // The disk with the films is gone, which is reported:
    fs::rename(dir.path().join("red.mp4"), dir.path().join("away")).unwrap();
    people.wait_any(Alice, "main: сбой элемента", &bot);
    let trouble = people.wait_any(Alice, "🚨 main: зрители видят заставку", &bot);

    // Looked at: what viewers see, and what the log says.
    people.send(Alice, "/now");
    people.expect(Alice, "▶ заставка", &bot);
    assert_eq!(people.picture(Alice, &bot).0, Picture::Other);
    people.send(Alice, "/log");
    people.expect(Alice, "red", &bot);

    // Steered: a film from the phone.
    let film = dir.path().join("From the phone.mp4");
    colours::make("lime", 60_000, Beginning::Plain, &film).unwrap();
    people.send_file(Alice, &film);
    people.wait_any(Alice, "✔ готово", &bot);
    until("the film", 60 * SECOND, || (title(&mut client) == "From the phone").then_some(())).unwrap();

    // Over: the same message says so, and the picture is the film's.
    let over = people.edited(Alice, &trouble["id"], "закончилось через", &bot);
    assert!(over.starts_with("✅ main: зрители видят заставку"), "{over}");
    people.send(Alice, "/now");
    people.expect(Alice, "▶ From the phone", &bot);
    assert_eq!(people.picture(Alice, &bot).0, Picture::Clip("lime"));

    // A death that systemd mends within seconds is reported as well, once.
    let note = dir.path().join("notes/tg_video_streamer.service");
    fs::write(note, "signal killed SEGV\n").unwrap();
    people.wait_any(Alice, "🚨 main: трансляция аварийно завершилась", &bot);
    let note = dir.path().join("notes/yt-dlp-update.service");
    fs::write(note, "exit-code exited 1\n").unwrap();
    people.wait_any(Alice, "🚨 не удалось обновить yt-dlp", &bot);
    // The webhook has heard the same.
    for wanted in ["filler open", "filler over", "died over", "yt_dlp_failed open"] {
        let heard = std::iter::repeat_with(|| hook.next().join(" ")).take(50).find(|heard| heard == wanted);
        assert_eq!(heard.as_deref(), Some(wanted));
    }
    bot.no_secret_is_seen(&dc);
    assert!(bot.stop().success());

    // In the morning, the digest: once, whatever is restarted.
    let clock = Command::new("date").arg("+%H:%M").output().unwrap().stdout;
    let settings = [settings[0], ("BOT_DIGEST", str::from_utf8(&clock).unwrap().trim())];
    let answers = people.answers(Alice);
    let bot = Bot::start_with(&dc, dir.path(), &socket, &hook, &settings);
    let digest = people.wait_any(Alice, "📊 За последние 24 часа", &bot);
    assert!(digest["text"].as_str().unwrap().contains("📺 main\nэлементов: "), "{digest}");
    assert!(bot.stop().success());
    let bot = Bot::start_with(&dc, dir.path(), &socket, &hook, &settings);
    people.send(Alice, "/help");
    people.expect(Alice, "/playlist", &bot);
    assert!(bot.stop().success());
    assert_eq!(people.answers(Alice), answers + 2);
}
