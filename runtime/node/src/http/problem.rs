//! Every no over HTTP: a problem document (RFC 9457) with one of our codes.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use lockstep_core::codes::{Code, CodeClass};
use lockstep_core::database::DatabaseError;
use lockstep_core::json::{Json, json};

use crate::submit::SubmitError;

/// Seconds after which what was turned away for lack of room or of the database may be sent again.
const RETRY_SECONDS: u16 = 1;

/// Why a request was not answered as it wished.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    status: StatusCode,
    code: Code,
    detail: String,
}

impl Problem {
    pub(super) fn new(code: Code, detail: impl Into<String>) -> Self {
        Problem { status: status(code), code, detail: detail.into() }
    }

    /// The path is there, and takes another method.
    pub(super) fn wrong_method(detail: String) -> Self {
        Problem { status: StatusCode::METHOD_NOT_ALLOWED, code: Code::Usage, detail }
    }

    /// The body did not come in time.
    pub(super) fn slow_body() -> Self {
        let detail = "the body did not arrive in time".to_owned();
        Problem { status: StatusCode::REQUEST_TIMEOUT, code: Code::Malformed, detail }
    }

    /// The body is of a kind that nobody here reads.
    pub(super) fn wrong_kind(kind: &str) -> Self {
        let detail = format!("a body of {kind} is not read here; send application/json or application/x-ndjson");
        Problem { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, code: Code::Usage, detail }
    }

    pub(super) fn to_json(&self) -> Json {
        json!({
            "type": format!("urn:lockstep:code:{}", self.code), "title": self.code.title(), "status": u64::from(self.status.as_u16()),
            "code": self.code.as_str(), "detail": self.detail.as_str(), "hint": self.code.remedy()
        })
    }
}

fn status(code: Code) -> StatusCode {
    match code {
        Code::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::TokenMissing | Code::TokenRefused => StatusCode::UNAUTHORIZED,
        Code::PositionGone => StatusCode::GONE,
        Code::UnknownActor | Code::RevokedActor | Code::BadSignature => StatusCode::FORBIDDEN,
        Code::NonceReused => StatusCode::CONFLICT,
        Code::WrongNetwork | Code::WrongSequencer => StatusCode::MISDIRECTED_REQUEST,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::DirectoryRefused | Code::PackageRefused => StatusCode::UNPROCESSABLE_ENTITY,
        Code::Overloaded => StatusCode::TOO_MANY_REQUESTS,
        Code::DatabaseUnavailable | Code::OutcomeUnknown => StatusCode::SERVICE_UNAVAILABLE,
        code if code.class() == CodeClass::Refused || code == Code::Usage => StatusCode::BAD_REQUEST,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl From<&SubmitError> for Problem {
    fn from(error: &SubmitError) -> Self {
        Problem::new(error.code(), error.to_string())
    }
}

impl From<DatabaseError> for Problem {
    fn from(error: DatabaseError) -> Self {
        let code = match &error {
            DatabaseError::Open { .. } | DatabaseError::Unavailable { .. } => Code::DatabaseUnavailable,
            DatabaseError::NewerFormat { .. } => Code::NewerFormat,
            DatabaseError::Shape { .. } | DatabaseError::Query { .. } => Code::DatabaseShape,
        };
        Problem::new(code, error.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let kind = HeaderValue::from_static("application/problem+json");
        let mut response = (self.status, [(header::CONTENT_TYPE, kind)], self.to_json().canonical()).into_response();
        if matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_SECONDS));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// A document, well.
pub(super) fn json_response(json: &Json) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], json.canonical()).into_response()
}
