//! The settings of one run.
//!
//! A value comes from the first of: the command line; a file named by `--env-file`; the
//! environment; `./.env`; the default. The named file precedes the environment because systemd's
//! `EnvironmentFile=` fills the environment with the file's content as of the unit's start. An
//! empty value counts as unset. `NAME_FILE` names a file with the value of the secret NAME. The
//! effects of values on the broadcast are not known here.

mod ha;
mod live;
mod load;
mod look;
mod mounted_session;
mod outputs;
mod own_table;
mod parse;
mod picture;
mod recording;
mod secret_file;
mod sound;
mod table;
mod values;

pub use self::{
    ha::{HaSettings, WithoutEtcd},
    live::{KeyError, Live, LiveAddress, LiveStart, check_key},
    load::{Env, INSTALLED, Problems, installed},
    look::{LogoPosition, LogoSettings, LookSettings, NowPlaying, SubtitleSetting},
    mounted_session::MountedSession,
    outputs::{MOST_OUTPUTS, NamedOutput},
    own_table::{OwnTable, OwnValues, SettingsFaults},
    parse::{ChatId, OnLoss, PublisherKind, Regen, ScheduleReturn, SeparateBy, SeparateRule},
    picture::{AudioPictureSetting, BackgroundSetting, Picture, Quality},
    recording::RecordSettings,
    secret_file::{hidden_places, inherited},
    sound::{AudioSide, Sound, SoundLevel},
    table::{Setting, TABLE, Visibility, template},
    values::{Settings, Telegram},
};

#[cfg(test)]
mod tests;
