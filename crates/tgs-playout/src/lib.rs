//! Items in, one continuous FLV timeline out, published. Knows no Telegram.

pub mod flv;
pub mod item;
