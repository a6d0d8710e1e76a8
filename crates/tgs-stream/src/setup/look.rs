//! Converts the settings of the channel's look to the engine's.

use tgs_core::settings::{LogoPosition, LogoSettings, LookSettings, SubtitleSetting};
use tgs_playout::ffmpeg::look::{Corner, Logo, LogoFile, Look, LowerThird, SubtitleChoice, TextForm};

/// The look that the settings describe.
pub(crate) fn of(settings: &LookSettings) -> Look {
    let overlay = settings.now_playing.is_overlay();
    let form = text_form(settings).filter(|_| overlay);
    Look {
        logo: settings.logo.as_ref().map(logo),
        lower_third: form.map(|form| LowerThird { length: settings.now_playing_for, form }),
        subtitles: match &settings.subtitles {
            SubtitleSetting::Off => SubtitleChoice::Off,
            SubtitleSetting::Forced => SubtitleChoice::Forced,
            SubtitleSetting::Languages(languages) => SubtitleChoice::Languages(languages.clone()),
        },
    }
}

/// NOW_PLAYING_TEXT, which was checked when it was read.
pub(crate) fn text_form(settings: &LookSettings) -> Option<TextForm> {
    TextForm::parse(&settings.now_playing_text)
        .map_err(|error| log::warn!("NOW_PLAYING_TEXT {error}; the names are not shown"))
        .ok()
}

fn logo(settings: &LogoSettings) -> Logo {
    let part = |percent: u32| f64::from(percent) / 100.0;
    Logo {
        file: LogoFile(settings.file.clone()),
        corner: match settings.position {
            LogoPosition::TopLeft => Corner::TopLeft,
            LogoPosition::TopRight => Corner::TopRight,
            LogoPosition::BottomLeft => Corner::BottomLeft,
            LogoPosition::BottomRight => Corner::BottomRight,
        },
        height: part(settings.height),
        opacity: part(settings.opacity),
        margin: part(settings.margin),
        copy: None,
    }
}
