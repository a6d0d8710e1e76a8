//! The buttons below a message.

use grammers_tl_types as tl;

/// A button that sends its data to the bot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Button {
    /// The text, not empty.
    pub text: String,
    /// What the bot receives, at most 64 bytes.
    pub data: String,
}

/// Rows of buttons; none for a message without buttons.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keyboard(pub Vec<Vec<Button>>);

impl Keyboard {
    pub(super) fn to_markup(&self) -> Option<tl::enums::ReplyMarkup> {
        let button = |button: &Button| {
            let data = button.data.clone().into_bytes();
            let r#type = tl::types::InlineButtonTypeCallback { requires_password: false, data }.into();
            tl::types::KeyboardInlineButton { style: None, text: button.text.clone(), r#type }.into()
        };
        let row = |row: &Vec<Button>| {
            tl::types::KeyboardInlineButtonRow { buttons: row.iter().map(button).collect() }.into()
        };
        let rows: Vec<_> = self.0.iter().map(row).collect();
        (!rows.is_empty()).then(|| tl::types::ReplyInlineMarkup { force_reply: false, rows }.into())
    }
}
