//! Holds a frame against the contract: the part of JSON Schema that our own schemas use, and nothing else.
//!
//! Stricter than a client has to be: a field that the contract does not know is an error, except in `metadata` of messages and
//! rooms, which is the clients' own. So captured traffic shows what the contract forgot.

use serde_json::{Map, Value};

use super::asyncapi;
use super::tables::ref_to;
use crate::base::WallTime;

/// Who sends a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// A client.
    Client,
    /// The server.
    Server,
}

impl Side {
    /// The name of the schema of a type of frame.
    #[must_use]
    pub fn key(self, name: &str) -> String {
        match self {
            Self::Client => format!("client.{name}"),
            Self::Server => format!("server.{name}"),
        }
    }
}

/// Checks many frames against one copy of the contract.
#[derive(Debug)]
pub struct Contract {
    schemas: Map<String, Value>,
}

impl Default for Contract {
    fn default() -> Self {
        let schemas = asyncapi()["components"]["schemas"].as_object().cloned().unwrap_or_default();
        Self { schemas }
    }
}

/// Holds one frame against the contract.
///
/// # Errors
/// Where it differs, as a path and a sentence.
pub fn check(side: Side, frame: &Value) -> Result<(), String> {
    Contract::default().check(side, frame)
}

impl Contract {
    /// Holds one frame against the contract.
    ///
    /// # Errors
    /// Where it differs, as a path and a sentence.
    pub fn check(&self, side: Side, frame: &Value) -> Result<(), String> {
        let kind = frame["type"].as_str().ok_or("it has no type")?;
        let name = side.key(kind);
        if !self.schemas.contains_key(&name) {
            return Err(format!("there is no frame {name}"));
        }
        self.value(&ref_to(&name), frame, kind)
    }

    fn value(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        let wrong = |what: String| Err(format!("{at}: {what}"));
        if let Some(name) = schema["$ref"].as_str().and_then(|path| path.strip_prefix("#/components/schemas/")) {
            let Some(target) = self.schemas.get(name) else { return wrong(format!("the contract lacks {name}")) };
            return self.value(target, value, at);
        }
        for key in ["oneOf", "anyOf"] {
            if let Some(ways) = schema[key].as_array() {
                let tried: Vec<_> = ways.iter().map(|way| self.value(way, value, at)).collect();
                if tried.iter().any(Result::is_ok) {
                    continue;
                }
                return wrong(format!("fits none: {tried:?}"));
            }
        }
        for part in schema["allOf"].as_array().into_iter().flatten() {
            self.value(part, value, at)?;
        }
        if let Some(wanted) = schema.get("const")
            && wanted != value
        {
            return wrong(format!("is {value}, not {wanted}"));
        }
        if let Some(allowed) = schema["enum"].as_array()
            && !allowed.contains(value)
        {
            return wrong(format!("{value} is not among {allowed:?}"));
        }
        if !of_type(&schema["type"], value) {
            return wrong(format!("{value} is not of type {}", schema["type"]));
        }
        if let Some(text) = value.as_str()
            && !formatted(schema["format"].as_str(), text)
        {
            return wrong(format!("{text:?} is no {}", schema["format"]));
        }
        let number = value.as_f64();
        let beyond = |key: &str, outside: fn(f64, f64) -> bool| {
            number.zip(schema[key].as_f64()).is_some_and(|(number, bound)| outside(number, bound))
        };
        if beyond("minimum", |number, bound| number < bound) || beyond("maximum", |number, bound| number > bound) {
            return wrong(format!("{value} is out of bounds"));
        }
        if let Some(items) = value.as_array() {
            for (i, item) in items.iter().enumerate() {
                self.value(&schema["items"], item, &format!("{at}[{i}]"))?;
            }
        }
        if let Some(object) = value.as_object() {
            self.object(schema, object, at)?;
        }
        Ok(())
    }

    fn object(&self, schema: &Value, object: &Map<String, Value>, at: &str) -> Result<(), String> {
        for field in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !object.contains_key(field) {
                return Err(format!("{at}: {field} is missing"));
            }
        }
        // An object without declared properties is the clients' own.
        let Some(properties) = schema["properties"].as_object() else { return Ok(()) };
        let open = schema["additionalProperties"] == Value::Bool(true);
        for (key, value) in object {
            match properties.get(key) {
                Some(schema) => self.value(schema, value, &format!("{at}.{key}"))?,
                None if open => {}
                None => return Err(format!("{at}: the contract does not know {key}")),
            }
        }
        Ok(())
    }
}

fn of_type(wanted: &Value, value: &Value) -> bool {
    match wanted {
        Value::String(name) => match name.as_str() {
            "string" => value.is_string(),
            "integer" => value.is_u64() || value.is_i64(),
            "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            "null" => value.is_null(),
            _ => false,
        },
        Value::Array(names) => names.iter().any(|name| of_type(name, value)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => true,
    }
}

fn formatted(format: Option<&str>, text: &str) -> bool {
    match format {
        Some("uuid") => text.len() == 36 && uuid::Uuid::try_parse(text).is_ok(),
        // Ours is one exact form of RFC 3339.
        Some("date-time") => WallTime::parse_rfc3339(text).is_some_and(|at| at.rfc3339() == text),
        _ => true,
    }
}
