//! Cases a5, A102 to A104: GET_PARAMETER and SET_PARAMETER.

use super::{bring_to, described, ready, scene};
use crate::support::viewer::assert_no_gap;

/// A102, A104. In every state, with a session and without.
#[tokio::test]
async fn a_parameter_request_without_a_body_is_a_keep_alive() {
    let (_camera, relay) = scene().await;
    let mut viewer = described(&relay).await;
    for state in ["init", "ready", "playing"] {
        bring_to(&mut viewer, state).await;
        for method in ["GET_PARAMETER", "SET_PARAMETER"] {
            for url in
                [viewer.base.clone(), viewer.url.clone(), viewer.control(0), viewer.control(1), "*".into()]
            {
                viewer.request(method, &url, &[]).await.ok();
                viewer.request(method, &url, &[("Content-Length", "0")]).await.ok();
                let session = viewer.session.take();
                viewer.request(method, &url, &[]).await.ok();
                viewer.session = session;
            }
        }
    }
    assert_no_gap(&viewer.packets(0, 30).await);
}

/// A103. Decided: there are no parameters, so naming one is answered with 451.
#[tokio::test]
async fn a_parameter_that_is_named_is_not_understood() {
    let (_camera, relay) = scene().await;
    let mut viewer = ready(&relay).await;
    viewer.play().await.ok();
    let (base, session) = (viewer.base.clone(), viewer.session.clone().unwrap());
    for method in ["GET_PARAMETER", "SET_PARAMETER"] {
        for line in [String::new(), format!("Session: {session}\r\n")] {
            viewer
                .send_raw(format!(
                    "{method} {base} RTSP/1.0\r\nCSeq: 50\r\n{line}Content-Type: text/parameters\r\n\
                     Content-Length: 9\r\n\r\nposition\nOPTIONS * RTSP/1.0\r\nCSeq: 51\r\n\r\n"
                ))
                .await;
            assert_eq!(viewer.read_answer().await.status, 451);
            assert_eq!(viewer.read_answer().await.ok().header("CSeq"), Some("51"));
        }
    }
    assert_no_gap(&viewer.packets(0, 30).await);
}
