//! What a request is answered with.

use std::future::Future;
use std::pin::Pin;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};

use super::super::Format;

/// Where the metrics are.
const PATH: &str = "/metrics";

/// Makes the metrics anew for each that asks; else says why there are none.
pub trait Scrape: Send + Sync {
    /// The metrics in this format.
    fn scrape(
        &self,
        format: Format,
    ) -> Pin<Box<dyn Future<Output = Result<String, String>> + Send + '_>>;
}

pub(super) async fn answer(request: &Parts, scrape: &dyn Scrape) -> Response<Full<Bytes>> {
    if !is_for_us(request) {
        return plain(
            StatusCode::MISDIRECTED_REQUEST,
            "ask for 127.0.0.1, [::1] or localhost\n",
        );
    }
    if request.uri.path() != PATH {
        return plain(StatusCode::NOT_FOUND, "the metrics are at /metrics\n");
    }
    if ![Method::GET, Method::HEAD].contains(&request.method) {
        let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, "GET /metrics\n");
        let allowed = HeaderValue::from_static("GET, HEAD");
        refused.headers_mut().insert(ALLOW, allowed);
        return refused;
    }
    let format = negotiated(request);
    match scrape.scrape(format).await {
        Ok(text) => of(StatusCode::OK, format.content_type(), text),
        Err(why) => {
            tracing::warn!(why, "no metrics");
            plain(
                StatusCode::SERVICE_UNAVAILABLE,
                "the metrics cannot be read now; the log of felhom-agent says why\n",
            )
        }
    }
}

fn plain(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    of(status, "text/plain; charset=utf-8", text.to_owned())
}

fn of(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A web page can have a browser ask us under a name of its own that leads here; nobody else uses such a name.
fn is_for_us(request: &Parts) -> bool {
    let Some(host) = request.headers.get(HOST) else {
        return true;
    };
    let Ok(host) = host.to_str() else {
        return false;
    };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    let address = address.parse::<std::net::IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// OpenMetrics for who wants it at least as much as plain text.
fn negotiated(request: &Parts) -> Format {
    let accepted = request.headers.get_all(ACCEPT).iter();
    let accepted = accepted.filter_map(|value| value.to_str().ok());
    let (mut open, mut text) = (0, 0);
    for range in accepted.flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
        let weight = parts.find_map(weight).unwrap_or(1000);
        match kind.as_str() {
            "application/openmetrics-text" => open = weight.max(open),
            "text/plain" | "text/*" | "*/*" => text = weight.max(text),
            _ => {}
        }
    }
    if open > 0 && open >= text {
        Format::OpenMetrics
    } else {
        Format::Text
    }
}

/// `q=0.5`, in thousandths.
fn weight(parameter: &str) -> Option<u32> {
    let (key, value) = parameter.split_once('=')?;
    if !key.trim().eq_ignore_ascii_case("q") {
        return None;
    }
    let (whole, fraction) = value.trim().split_once('.').unwrap_or((value.trim(), ""));
    let fraction: String = fraction.chars().chain("000".chars()).take(3).collect();
    let whole: u32 = whole.parse().ok().filter(|whole| *whole <= 1)?;
    let thousandths = whole * 1000 + fraction.parse::<u32>().ok()?;
    Some(thousandths.min(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(headers: &[(&str, &str)]) -> Parts {
        let mut request = hyper::Request::builder();
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn openmetrics_is_for_who_wants_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                          application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        for (accept, expected) in [
            (prometheus, Format::OpenMetrics),
            ("Application/OpenMetrics-Text", Format::OpenMetrics),
            (
                "text/plain, application/openmetrics-text;q=0.9",
                Format::Text,
            ),
            ("application/openmetrics-text;q=0", Format::Text),
            (
                "application/openmetrics-text; Q=0.25, text/plain; q=0.251",
                Format::Text,
            ),
            ("*/*", Format::Text),
            ("text/html", Format::Text),
            ("", Format::Text),
            (";;q=;,=,q=9", Format::Text),
        ] {
            assert_eq!(
                negotiated(&parts(&[("accept", accept)])),
                expected,
                "{accept}"
            );
        }
        assert_eq!(negotiated(&parts(&[])), Format::Text);
    }

    #[test]
    fn only_names_of_the_machine_itself_are_ours() {
        for (host, ours) in [
            ("127.0.0.1:9221", true),
            ("127.0.0.1", true),
            ("localhost:9221", true),
            ("LOCALHOST", true),
            ("[::1]:9221", true),
            ("[::1]", true),
            ("rebound.example:9221", false),
            ("192.0.2.10:9221", false),
            ("", false),
            (":9221", false),
        ] {
            assert_eq!(is_for_us(&parts(&[("host", host)])), ours, "{host}");
        }
        assert!(is_for_us(&parts(&[])));
    }
}
