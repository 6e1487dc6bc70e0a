//! The JSON schema of a configuration type, for editors.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

/// The schema of a type as pretty JSON that stays the same as long as the type does: keys sorted, one newline at the
/// end. Unknown keys are refused in it wherever [`load`](crate::load) refuses them.
pub fn schema_text<T: JsonSchema>() -> String {
    let schema = SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<T>();
    let value = sorted(schema.to_value());
    // A value that came from a schema has text keys only: this cannot fail.
    let mut text = serde_json::to_string_pretty(&value).unwrap_or_default();
    text.push('\n');
    text
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let mut entries: Vec<_> = object.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            entries.sort_by(|(left, _), (right, _)| left.cmp(right));
            let mut object: Map<_, _> = entries.into_iter().collect();
            close(&mut object);
            Value::Object(object)
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

/// A table with known keys has no others; one that is put together of several says so itself.
fn close(object: &mut Map<String, Value>) {
    let is_table = object.get("type").is_some_and(|kind| kind == "object") && object.contains_key("properties");
    let says_itself = [
        "additionalProperties",
        "unevaluatedProperties",
        "allOf",
        "anyOf",
        "oneOf",
        "$ref",
    ];
    if is_table && !says_itself.iter().any(|key| object.contains_key(*key)) {
        object.insert("additionalProperties".to_owned(), Value::Bool(false));
        object.sort_keys();
    }
}
