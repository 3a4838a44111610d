//! From JSON text to [`ChainSpec`], key by key, so that every error can name its key.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::{ChainSpec, ChainSpecError, Expected, RetargetParams};
use crate::{
    consensus::{
        authorities::AuthoritySet,
        bls::{PUBLIC_KEY_BYTES, PublicKey},
        by_height::ByHeight,
        slot_rule::SlotDuration,
    },
    types::Height,
};

/// How much of a wrong value an error shows. Unit: characters. Source: a public key is 98 long and
/// should be seen whole. Lower: it is not. Higher: a mistaken file fills the screen.
const VALUE_SHOWN_CHARS_MAX: usize = 110;

pub(super) fn chain_spec(text: &str) -> Result<ChainSpec, ChainSpecError> {
    let value: Value = serde_json::from_str(text)
        .map_err(|error| ChainSpecError::NotJson { line: error.line(), column: error.column() })?;
    let Value::Object(object) = value else {
        return Err(ChainSpecError::NotAnObject);
    };
    let top = Section { path: String::new(), object: &object };
    Ok(ChainSpec {
        authorities: authorities_by_height(&top)?,
        slot_durations: slot_durations_by_height(&top)?,
        chain_id: top.u32("chainId")?,
        bits: top.u32("bits")?,
        max_blocks_without_pow: top.whole("maxBlocksWithoutPow", 0..=u64::MAX)?,
        retarget: retarget(&top.section("retargetParams", Expected::RetargetParams)?)?,
        synthetic_payloads: match top.object.get("syntheticPayloads") {
            None => false,
            Some(_) => top.bool("syntheticPayloads")?,
        },
    })
}

fn authorities_by_height(top: &Section<'_>) -> Result<ByHeight<AuthoritySet>, ChainSpecError> {
    let mut by_height = ByHeight::always(authorities(top)?);
    for entry in top.later("laterAuthorities")? {
        let height = entry.later_height()?;
        by_height
            .then_from(height, authorities(&entry)?)
            .map_err(|source| ChainSpecError::Height { key: entry.key("fromHeight"), source })?;
    }
    Ok(by_height)
}

fn slot_durations_by_height(top: &Section<'_>) -> Result<ByHeight<SlotDuration>, ChainSpecError> {
    let mut by_height = ByHeight::always(slot_duration(top)?);
    for entry in top.later("laterSlotDurations")? {
        let height = entry.later_height()?;
        by_height
            .then_from(height, slot_duration(&entry)?)
            .map_err(|source| ChainSpecError::Height { key: entry.key("fromHeight"), source })?;
    }
    Ok(by_height)
}

fn authorities(section: &Section<'_>) -> Result<AuthoritySet, ChainSpecError> {
    let path = section.key("authorities");
    let keys = section
        .list("authorities", Expected::Authorities)?
        .iter()
        .enumerate()
        .map(|(index, value)| public_key(format!("{path}[{index}]"), value))
        .collect::<Result<Vec<_>, _>>()?;
    AuthoritySet::new(keys).map_err(|source| ChainSpecError::Authorities { key: path, source })
}

fn public_key(path: String, value: &Value) -> Result<PublicKey, ChainSpecError> {
    let mut bytes = [0; PUBLIC_KEY_BYTES];
    let decoded = value
        .as_str()
        .map(|text| text.strip_prefix("0x").unwrap_or(text))
        .is_some_and(|digits| hex::decode_to_slice(digits, &mut bytes).is_ok());
    if !decoded {
        return Err(wrong_value(path, value, Expected::PublicKey));
    }
    PublicKey::from_bytes(&bytes).map_err(|source| ChainSpecError::PublicKey {
        key: path,
        value: shown(value),
        source,
    })
}

fn slot_duration(section: &Section<'_>) -> Result<SlotDuration, ChainSpecError> {
    let value = section.value("slotDuration", Expected::SlotDuration)?;
    value
        .as_u64()
        .and_then(SlotDuration::from_ms)
        .ok_or_else(|| wrong_value(section.key("slotDuration"), value, Expected::SlotDuration))
}

fn retarget(section: &Section<'_>) -> Result<RetargetParams, ChainSpecError> {
    let percent = section.whole("maxPowAdjustment", 0..=100)?;
    let params = RetargetParams {
        never: section.bool("powNoRetargeting")?,
        limit: section.u32("powLimit")?,
        lower_limit: section.u32("powLowerLimit")?,
        max_adjustment_percent: u8::try_from(percent).expect("at most 100"),
        timespan: section.whole("powTargetTimespan", 1..=u64::MAX)?,
        spacing: section.whole("powTargetSpacing", 1..=u64::MAX)?,
    };
    if params.timespan < params.spacing {
        return Err(ChainSpecError::RetargetTimespan {
            timespan: params.timespan,
            spacing: params.spacing,
        });
    }
    Ok(params)
}

/// An object of the file and the path to it.
struct Section<'a> {
    path: String,
    object: &'a Map<String, Value>,
}

impl<'a> Section<'a> {
    fn key(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    fn value(&self, name: &str, expected: Expected) -> Result<&'a Value, ChainSpecError> {
        self.object
            .get(name)
            .ok_or_else(|| ChainSpecError::Missing { key: self.key(name), expected })
    }

    fn wrong(&self, name: &str, value: &Value, expected: Expected) -> ChainSpecError {
        wrong_value(self.key(name), value, expected)
    }

    fn whole(&self, name: &str, range: RangeInclusive<u64>) -> Result<u64, ChainSpecError> {
        let expected = Expected::Whole { min: *range.start(), max: *range.end() };
        let value = self.value(name, expected)?;
        value
            .as_u64()
            .filter(|number| range.contains(number))
            .ok_or_else(|| self.wrong(name, value, expected))
    }

    fn u32(&self, name: &str) -> Result<u32, ChainSpecError> {
        let number = self.whole(name, 0..=u64::from(u32::MAX))?;
        Ok(u32::try_from(number).expect("at most u32::MAX"))
    }

    fn bool(&self, name: &str) -> Result<bool, ChainSpecError> {
        let value = self.value(name, Expected::Bool)?;
        value.as_bool().ok_or_else(|| self.wrong(name, value, Expected::Bool))
    }

    fn list(&self, name: &str, expected: Expected) -> Result<&'a [Value], ChainSpecError> {
        let value = self.value(name, expected)?;
        value.as_array().map(Vec::as_slice).ok_or_else(|| self.wrong(name, value, expected))
    }

    fn section(&self, name: &str, expected: Expected) -> Result<Self, ChainSpecError> {
        let value = self.value(name, expected)?;
        let object = value.as_object().ok_or_else(|| self.wrong(name, value, expected))?;
        Ok(Self { path: self.key(name), object })
    }

    /// The entries of one of the lists of later values; none if there is no such list.
    fn later(&self, name: &str) -> Result<Vec<Self>, ChainSpecError> {
        if !self.object.contains_key(name) {
            return Ok(Vec::new());
        }
        let entries = self.list(name, Expected::LaterValues)?.iter().enumerate();
        entries
            .map(|(index, value)| {
                let path = format!("{}[{index}]", self.key(name));
                match value.as_object() {
                    Some(object) => Ok(Self { path, object }),
                    None => Err(wrong_value(path, value, Expected::LaterValues)),
                }
            })
            .collect()
    }

    fn later_height(&self) -> Result<Height, ChainSpecError> {
        let value = self.value("fromHeight", Expected::LaterHeight)?;
        value
            .as_u64()
            .map(Height::new)
            .ok_or_else(|| self.wrong("fromHeight", value, Expected::LaterHeight))
    }
}

fn wrong_value(key: String, value: &Value, expected: Expected) -> ChainSpecError {
    ChainSpecError::WrongValue { key, value: shown(value), expected }
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(VALUE_SHOWN_CHARS_MAX) {
        Some((cut, _)) => format!("{}...", &text[..cut]),
        None => text,
    }
}
