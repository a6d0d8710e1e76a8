//! Deserializes `null`, which serde_json writes for numbers that JSON cannot represent.

use serde::{Deserialize, Deserializer};

/// Reads `null` as the default. JSON has no NaN: serde_json writes `null` for it.
pub(crate) fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
