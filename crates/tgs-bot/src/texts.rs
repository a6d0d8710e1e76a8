//! The bot's own words, in English and Russian.

use serde::{Deserialize, Serialize};

/// A language of the bot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BotLanguage {
    #[default]
    English,
    Russian,
}

impl BotLanguage {
    /// The language for a user's `lang_code`, such as `ru` or `pt-br`.
    pub(crate) fn of(lang_code: Option<&str>) -> Self {
        match lang_code.and_then(|code| code.split('-').next()) {
            Some("ru") => Self::Russian,
            _ => Self::English,
        }
    }

    pub(crate) fn texts(self) -> &'static Texts {
        match self {
            Self::English => &ENGLISH,
            Self::Russian => &RUSSIAN,
        }
    }
}

/// All texts of one language.
#[derive(Debug)]
pub(crate) struct Texts {
    pub(crate) your_id: &'static str,
    pub(crate) help_look: &'static str,
    pub(crate) help_steer: &'static str,
    pub(crate) unknown: &'static str,
    pub(crate) only_look: &'static str,
    pub(crate) too_late: &'static str,
    pub(crate) busy: &'static str,
    pub(crate) outdated: &'static str,
    pub(crate) no_channel: &'static str,
    pub(crate) which_channel: &'static str,
    pub(crate) usage_seek: &'static str,
    pub(crate) usage_queue: &'static str,
    pub(crate) usage_title: &'static str,
    pub(crate) done: &'static str,
    pub(crate) refused: &'static str,
    pub(crate) not_running: &'static str,
    pub(crate) denied: &'static str,
    pub(crate) no_answer: &'static str,
    pub(crate) starting: &'static str,
    pub(crate) filler: &'static str,
    pub(crate) stopped: &'static str,
    pub(crate) standby: &'static str,
    pub(crate) paused: &'static str,
    pub(crate) stops_after: &'static str,
    pub(crate) unhealthy: &'static str,
    pub(crate) reconnecting: &'static str,
    pub(crate) upcoming: &'static str,
    pub(crate) queue: &'static str,
    pub(crate) title: &'static str,
    pub(crate) last_failure: &'static str,
    pub(crate) refresh: &'static str,
    pub(crate) stop_after: &'static str,
    pub(crate) incident_away: &'static str,
    pub(crate) incident_degraded: &'static str,
    pub(crate) incident_ingest: &'static str,
    pub(crate) incident_filler: &'static str,
    pub(crate) incident_viewers: &'static str,
    pub(crate) incident_slow: &'static str,
    pub(crate) incident_failed: &'static str,
    pub(crate) incident_session: &'static str,
    pub(crate) incident_died: &'static str,
    pub(crate) incident_ytdlp_failed: &'static str,
    pub(crate) incident_ytdlp_stale: &'static str,
    pub(crate) incident_disk: &'static str,
    pub(crate) incident_deployed: &'static str,
    pub(crate) incident_taken_back: &'static str,
    pub(crate) no_picture: &'static str,
    pub(crate) no_files: &'static str,
    pub(crate) not_media: &'static str,
    pub(crate) too_many_files: &'static str,
    pub(crate) cancel: &'static str,
    pub(crate) cancelled: &'static str,
    pub(crate) interrupted: &'static str,
    pub(crate) page: &'static str,
    pub(crate) digest: &'static str,
    pub(crate) digest_items: &'static str,
    pub(crate) digest_failed: &'static str,
    pub(crate) digest_filler: &'static str,
    pub(crate) digest_off_air: &'static str,
    pub(crate) digest_viewers: &'static str,
    pub(crate) nothing: &'static str,
    pub(crate) list: &'static str,
    pub(crate) over: &'static str,
    pub(crate) times: &'static str,
    /// The commands of the menu: those that look, then those that steer.
    pub(crate) menu: [(&'static str, &'static str); 15],
}

impl Texts {
    /// How many commands of the menu only look.
    pub(crate) const LOOKING: usize = 6;
}

const ENGLISH: Texts = Texts {
    your_id: "Your ID: ",
    help_look: "/status what is on air\n/now the same with a picture\n/channels the channels of this machine\n\
                /playlist the list, page by page\n/today the timetable of today\n/log the log of the last hour",
    help_steer: "\n/next the next item\n/previous the item before\n/pause show the filler\n/resume end the pause\n/take put the live input on air\n\
                 /seek 1:23:00, +30 or -30\n/queue https://… play it next\n/title the title of the live stream\n\
                 /stop_after stop after this item\nA film or sound that you send or forward is queued.",
    unknown: "Unknown command. /help lists them.",
    only_look: "You may look, but not steer.",
    too_late: "This came too late and was not done: ",
    busy: "Too many requests at once; try again in a moment.",
    outdated: "This button is outdated. /status shows the current ones.",
    no_channel: "No channel runs on this machine.",
    which_channel: "Which channel?",
    usage_seek: "Write a time: /seek 1:23:00 from the beginning, /seek +30 or /seek -30 seconds.",
    usage_queue: "Write a whole address: /queue https://example.org/film.mp4",
    usage_title: "Write a title of at most 128 characters: /title Night programme",
    done: "✔ done",
    refused: "✖ refused: ",
    not_running: "the broadcast does not run",
    denied: "tgs-bot may not use the control socket",
    no_answer: "the broadcast does not answer: ",
    starting: "starting",
    filler: "filler: ",
    stopped: "⏹ stopped",
    standby: "standby of ",
    paused: "⏸ paused",
    stops_after: "⏹ stops after this item",
    unhealthy: "⚠ ",
    reconnecting: "⚠ reconnecting to the server: ",
    upcoming: "Next:",
    queue: "In the queue: ",
    title: "Title: ",
    last_failure: "Last failure: ",
    refresh: "🔄 refresh",
    stop_after: "⏹ after this",
    incident_away: "the broadcast does not run or does not answer",
    incident_degraded: "no session is valid, so nothing is published: sudo tgs-session --write-env",
    incident_ingest: "the server of the stream is away",
    incident_filler: "viewers see the filler",
    incident_viewers: "viewers get something else than what is sent",
    incident_slow: "the encoder is too slow",
    incident_failed: "an item failed",
    incident_session: "the Telegram session was replaced",
    incident_died: "the broadcast died; systemd starts it again",
    incident_ytdlp_failed: "the update of yt-dlp failed: journalctl -u yt-dlp-update",
    incident_ytdlp_stale: "yt-dlp was not updated for over 15 days: systemctl status yt-dlp-update.timer",
    incident_disk: "the disk is filling",
    incident_deployed: "a deploy is done",
    incident_taken_back: "a deploy failed; the release before is back: journalctl -t tgs-deploy",
    no_picture: "No picture: ",
    no_files: "Files are not received: BOT_MEDIA_DIR is not set.",
    not_media: "This is no film or sound that can be queued.",
    too_many_files: "Too many files wait; send it again later.",
    cancel: "✖ cancel",
    cancelled: "✖ cancelled: ",
    interrupted: "✖ The bot was restarted before the file was whole; send it again.",
    page: "Entries: ",
    digest: "The last 24 hours",
    digest_items: "items: ",
    digest_failed: "failed: ",
    digest_filler: "filler: ",
    digest_off_air: "off air: ",
    digest_viewers: "viewers now: ",
    nothing: "nothing",
    list: "the list",
    over: "over after ",
    times: "times: ",
    menu: [
        ("status", "what is on air"),
        ("now", "what is on air, with a picture"),
        ("channels", "the channels of this machine"),
        ("playlist", "the list, page by page"),
        ("today", "the timetable of today"),
        ("log", "the log of the last hour"),
        ("next", "the next item"),
        ("previous", "the item before"),
        ("pause", "show the filler"),
        ("resume", "end the pause"),
        ("seek", "go to a time: 1:23:00, +30, -30"),
        ("queue", "play an address next"),
        ("title", "set the title of the live stream"),
        ("take", "put the live input on air"),
        ("stop_after", "stop after this item"),
    ],
};

const RUSSIAN: Texts = Texts {
    your_id: "Ваш ID: ",
    help_look: "/status что в эфире\n/now то же с картинкой\n/channels каналы этой машины\n\
                /playlist плейлист по страницам\n/today расписание на сегодня\n/log журнал за последний час",
    help_steer: "\n/next следующий элемент\n/previous предыдущий элемент\n/pause показать заставку\n\
                 /resume закончить паузу\n\
                 /take вывести прямой эфир\n/seek 1:23:00, +30 или -30\n/queue https://… поставить следующим\n\
                 /title название трансляции\n/stop_after остановить после этого элемента\n\
                 Присланное или пересланное видео или звук ставится в очередь.",
    unknown: "Неизвестная команда. Список: /help",
    only_look: "Вам можно смотреть, но не управлять.",
    too_late: "Сообщение пришло слишком поздно и не выполнено: ",
    busy: "Слишком много запросов сразу; попробуйте чуть позже.",
    outdated: "Эта кнопка устарела. Новые: /status",
    no_channel: "На этой машине нет работающих каналов.",
    which_channel: "Какой канал?",
    usage_seek: "Напишите время: /seek 1:23:00 от начала, /seek +30 или /seek -30 секунд.",
    usage_queue: "Напишите полный адрес: /queue https://example.org/film.mp4",
    usage_title: "Напишите название до 128 символов: /title Ночная программа",
    done: "✔ готово",
    refused: "✖ отказ: ",
    not_running: "трансляция не запущена",
    denied: "tgs-bot не имеет доступа к управляющему сокету",
    no_answer: "трансляция не отвечает: ",
    starting: "запускается",
    filler: "заставка: ",
    stopped: "⏹ остановлено",
    standby: "резерв для ",
    paused: "⏸ пауза",
    stops_after: "⏹ остановится после этого элемента",
    unhealthy: "⚠ ",
    reconnecting: "⚠ переподключение к серверу: ",
    upcoming: "Далее:",
    queue: "В очереди: ",
    title: "Название: ",
    last_failure: "Последний сбой: ",
    refresh: "🔄 обновить",
    stop_after: "⏹ после этого",
    incident_away: "трансляция не запущена или не отвечает",
    incident_degraded: "нет действующей сессии, ничего не публикуется: sudo tgs-session --write-env",
    incident_ingest: "нет связи с сервером трансляции",
    incident_filler: "зрители видят заставку",
    incident_viewers: "зрители видят не то, что отправляется",
    incident_slow: "кодировщик не успевает",
    incident_failed: "сбой элемента",
    incident_session: "сессия Telegram заменена",
    incident_died: "трансляция аварийно завершилась; systemd запускает её снова",
    incident_ytdlp_failed: "не удалось обновить yt-dlp: journalctl -u yt-dlp-update",
    incident_ytdlp_stale: "yt-dlp не обновлялся больше 15 дней: systemctl status yt-dlp-update.timer",
    incident_disk: "диск заполняется",
    incident_deployed: "новая версия установлена",
    incident_taken_back: "установка не удалась, возвращена прежняя версия: journalctl -t tgs-deploy",
    no_picture: "Картинки нет: ",
    no_files: "Файлы не принимаются: BOT_MEDIA_DIR не задан.",
    not_media: "Это не видео и не звук, поставить в очередь нельзя.",
    too_many_files: "Слишком много файлов ждут; пришлите позже.",
    cancel: "✖ отменить",
    cancelled: "✖ отменено: ",
    interrupted: "✖ Бот перезапустился раньше, чем файл был получен; пришлите его снова.",
    page: "Элементы: ",
    digest: "За последние 24 часа",
    digest_items: "элементов: ",
    digest_failed: "сбоев: ",
    digest_filler: "заставка: ",
    digest_off_air: "не в эфире: ",
    digest_viewers: "зрителей сейчас: ",
    nothing: "ничего нет",
    list: "плейлист",
    over: "закончилось через ",
    times: "раз: ",
    menu: [
        ("status", "что в эфире"),
        ("now", "что в эфире, с картинкой"),
        ("channels", "каналы этой машины"),
        ("playlist", "плейлист по страницам"),
        ("today", "расписание на сегодня"),
        ("log", "журнал за последний час"),
        ("next", "следующий элемент"),
        ("previous", "предыдущий элемент"),
        ("pause", "показать заставку"),
        ("resume", "закончить паузу"),
        ("seek", "перейти ко времени: 1:23:00, +30, -30"),
        ("queue", "поставить адрес следующим"),
        ("title", "название трансляции"),
        ("take", "вывести прямой эфир"),
        ("stop_after", "остановить после этого элемента"),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_follows_the_app() {
        for (code, language) in [
            (Some("ru"), BotLanguage::Russian),
            (Some("ru-RU"), BotLanguage::Russian),
            (Some("rumantsch"), BotLanguage::English),
            (Some("en"), BotLanguage::English),
            (None, BotLanguage::English),
        ] {
            assert_eq!(BotLanguage::of(code), language, "{code:?}");
        }
    }

    #[test]
    fn both_languages_have_the_same_commands() {
        let names = |texts: &Texts| texts.menu.map(|(name, _)| name);
        assert_eq!(names(&ENGLISH), names(&RUSSIAN));
        for texts in [&ENGLISH, &RUSSIAN] {
            let help = [texts.help_look, texts.help_steer].concat();
            for (name, description) in texts.menu {
                assert!(help.contains(&format!("/{name} ")), "{name}");
                // https://core.telegram.org/bots/api#botcommand
                assert!((1..=256).contains(&description.chars().count()));
            }
        }
    }
}
