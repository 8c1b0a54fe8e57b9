//! `GET /openapi.json`: what this door answers, for programs. Tests hold it to the routes, and answers to it.

use axum::http::header;
use axum::response::{IntoResponse, Response};

/// The document, as it stands beside this file.
const DOCUMENT: &str = include_str!("openapi.json");

pub(super) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use lockstep_core::json::{Json, Limits, Object};
    use lockstep_core::schema::Schema;

    use super::*;

    fn document() -> Json {
        Json::parse(DOCUMENT.as_bytes(), &Limits::default()).unwrap_or_else(|error| panic!("openapi.json: {error}"))
    }

    fn keys(json: &Json, name: &str) -> Vec<String> {
        let mut keys: Vec<String> = json
            .get(name)
            .and_then(Json::as_object)
            .map(|object| object.keys().map(str::to_owned).collect())
            .unwrap_or_default();
        keys.sort();
        keys
    }

    #[test]
    fn its_paths_are_the_routes() {
        let mut routes: Vec<String> = super::super::routes().iter().map(|(path, _)| (*path).to_owned()).collect();
        routes.sort();
        assert_eq!(keys(&document(), "paths"), routes);
        assert_eq!(document().get("openapi"), Some(&Json::from("3.1.0")));
    }

    #[test]
    fn its_schemas_are_ones_that_our_own_checker_reads() {
        let components = document().get("components").cloned().unwrap();
        for (name, schema) in components.get("schemas").and_then(Json::as_object).into_iter().flat_map(Object::iter) {
            Schema::compile(schema).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}
