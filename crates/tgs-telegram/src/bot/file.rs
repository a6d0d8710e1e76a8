//! A file of a message: where Telegram has it, and what the sender states about it.

use grammers_tl_types as tl;

/// A file that a user has sent or forwarded to the bot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BotFile {
    /// The name that the sender's app states, if any. It may be anything.
    pub name: Option<String>,
    /// The type that the sender's app states.
    pub mime_type: String,
    /// The size in bytes.
    pub size: u64,
    /// The message that has the file.
    pub(super) message_id: i32,
    pub(super) dc: i32,
    pub(super) id: i64,
    pub(super) access_hash: i64,
    pub(super) reference: Vec<u8>,
}

impl BotFile {
    /// A file that exists nowhere, for tests of the bot.
    #[must_use]
    pub fn example(name: Option<&str>, mime_type: &str, size: u64) -> Self {
        Self {
            name: name.map(str::to_owned),
            mime_type: mime_type.to_owned(),
            size,
            message_id: 1,
            dc: 1,
            id: 1,
            access_hash: 1,
            reference: Vec::new(),
        }
    }

    /// The document of a message.
    pub(super) fn of(message_id: i32, media: Option<tl::enums::MessageMedia>) -> Option<Self> {
        let Some(tl::enums::MessageMedia::Document(media)) = media else { return None };
        let Some(tl::enums::Document::Document(document)) = media.document else { return None };
        let name = document.attributes.into_iter().find_map(|attribute| match attribute {
            tl::enums::DocumentAttribute::Filename(it) => Some(it.file_name),
            _ => None,
        });
        Some(Self {
            name,
            mime_type: document.mime_type,
            size: document.size.max(0).unsigned_abs(),
            message_id,
            dc: document.dc_id,
            id: document.id,
            access_hash: document.access_hash,
            reference: document.file_reference,
        })
    }
}
