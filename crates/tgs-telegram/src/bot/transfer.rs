//! Files of a bot: pictures that it sends, and media that users send or forward to it.

use grammers_tl_types as tl;

use super::{BotClient, BotFile, BotText, Keyboard};
use crate::error::TelegramError;

/// Bytes of a part of an upload. A picture has few of them.
const PART: usize = 128 << 10;
/// Largest picture in bytes: Telegram's limit of photos.
const LARGEST_PICTURE: usize = 10 << 20;
/// Bytes that [`BotClient::read_file`] returns at most.
const PIECE: i32 = 512 << 10;

impl BotClient {
    /// Sends a JPEG picture with a text of at most 1024 UTF-16 units. As [`BotClient::send`] else.
    pub fn send_picture(
        &mut self,
        user_id: i64,
        picture: &[u8],
        text: &BotText,
        keyboard: &Keyboard,
    ) -> Result<Option<i32>, TelegramError> {
        let doing = "send a picture";
        let media = self.upload(doing, picture)?;
        let random_id = fastrand::i64(..);
        let text = text.clone().caption();
        let request = tl::functions::messages::SendMedia {
            silent: false,
            background: false,
            clear_draft: false,
            noforwards: false,
            update_stickersets_order: false,
            invert_media: false,
            allow_paid_floodskip: false,
            peer: self.peer(user_id),
            reply_to: None,
            media,
            message: text.text().to_owned(),
            random_id,
            reply_markup: keyboard.to_markup(),
            entities: text.entities(),
            schedule_date: None,
            schedule_repeat_period: None,
            send_as: None,
            quick_reply_shortcut: None,
            effect: None,
            allow_paid_stars: None,
            suggested_post: None,
        };
        self.send_once(doing, &request, random_id)
    }

    /// Replaces a message of the bot by a picture with a text. A message without one gets it.
    pub fn edit_picture(
        &mut self,
        user_id: i64,
        message_id: i32,
        picture: &[u8],
        text: &BotText,
        keyboard: &Keyboard,
    ) -> Result<(), TelegramError> {
        let doing = "replace a picture";
        let media = self.upload(doing, picture)?;
        self.edit_message(doing, user_id, message_id, &text.clone().caption(), keyboard, Some(media))
    }

    fn upload(
        &mut self,
        doing: &'static str,
        picture: &[u8],
    ) -> Result<tl::enums::InputMedia, TelegramError> {
        if picture.is_empty() || picture.len() > LARGEST_PICTURE {
            return Err(TelegramError::garbage(doing));
        }
        let id = fastrand::i64(..);
        for (part, bytes) in (0..).zip(picture.chunks(PART)) {
            let request =
                tl::functions::upload::SaveFilePart { file_id: id, file_part: part, bytes: bytes.to_vec() };
            self.client.call(doing, &request)?;
        }
        let parts = picture.len().div_ceil(PART) as i32;
        let file =
            tl::types::InputFile { id, parts, name: "picture.jpg".to_owned(), md5_checksum: String::new() };
        Ok(tl::types::InputMediaUploadedPhoto {
            spoiler: false,
            live_photo: false,
            file: file.into(),
            stickers: None,
            ttl_seconds: None,
            video: None,
        }
        .into())
    }

    /// Reads up to 512 KiB of a file from `offset` on, which is a multiple of 512 KiB. Renews a
    /// reference that has expired; a message that was deleted meanwhile is an error.
    pub fn read_file(&mut self, file: &mut BotFile, offset: u64) -> Result<Vec<u8>, TelegramError> {
        let answer = self.read_piece(file, offset);
        match answer {
            Err(error) if error.name.starts_with("FILE_REFERENCE_") => {
                self.renew_reference(file)?;
                self.read_piece(file, offset)
            }
            answer => answer,
        }
    }

    fn read_piece(&mut self, file: &BotFile, offset: u64) -> Result<Vec<u8>, TelegramError> {
        let doing = "read a file";
        let location = tl::types::InputDocumentFileLocation {
            id: file.id,
            access_hash: file.access_hash,
            file_reference: file.reference.clone(),
            thumb_size: String::new(),
        };
        let request = tl::functions::upload::GetFile {
            precise: false,
            cdn_supported: false,
            location: location.into(),
            offset: i64::try_from(offset).unwrap_or(i64::MAX),
            limit: PIECE,
        };
        match self.client.call_elsewhere(doing, Some(file.dc), &request)? {
            tl::enums::upload::File::File(read) => Ok(read.bytes),
            // Not without `cdn_supported`.
            tl::enums::upload::File::CdnRedirect(_) => Err(TelegramError::garbage(doing)),
        }
    }

    fn renew_reference(&mut self, file: &mut BotFile) -> Result<(), TelegramError> {
        let doing = "look up a file again";
        let id = vec![tl::types::InputMessageId { id: file.message_id }.into()];
        let answer = self.client.call(doing, &tl::functions::messages::GetMessages { id })?;
        let tl::enums::messages::Messages::Messages(answer) = answer else {
            return Err(TelegramError::garbage(doing));
        };
        let found = answer.messages.into_iter().find_map(|message| match message {
            tl::enums::Message::Message(message) => BotFile::of(message.id, message.media),
            _ => None,
        });
        match found.filter(|found| found.id == file.id) {
            Some(found) => {
                file.reference = found.reference;
                Ok(())
            }
            None => Err(TelegramError::garbage(doing)),
        }
    }
}
