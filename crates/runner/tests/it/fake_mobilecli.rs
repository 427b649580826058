//! A fake `mobilecli server` with one phone. It records its calls, and a test can make it hang.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};

pub const PHONE: &str = "PHONE1";

#[derive(Clone)]
pub struct FakeMobilecli {
    pub address: SocketAddr,
    /// Method and parameters of all calls but `devices.list`.
    pub calls: Arc<Mutex<Vec<(String, Value)>>>,
    pub apps: Arc<Mutex<BTreeSet<String>>>,
    /// Whether the phone answers.
    pub alive: watch::Sender<bool>,
    /// Calls of `device.url` wait for this.
    pub gate: Arc<Notify>,
    /// Notified when a call of `device.url` starts.
    pub started: Arc<Notify>,
}

impl FakeMobilecli {
    pub async fn start(listener: TcpListener) -> Self {
        let apps = BTreeSet::from(["com.android.settings".to_owned()]);
        let fake = Self {
            address: listener.local_addr().unwrap(),
            calls: Arc::default(),
            apps: Arc::new(Mutex::new(apps)),
            alive: watch::Sender::new(true),
            gate: Arc::default(),
            started: Arc::default(),
        };
        let router = Router::new().route("/rpc", post(rpc)).with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        fake
    }

    pub async fn start_on_any_port() -> Self {
        Self::start(TcpListener::bind("127.0.0.1:0").await.unwrap()).await
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The parameters of all calls of a method.
    pub fn params_of(&self, method: &str) -> Vec<Value> {
        let calls = self.calls.lock().unwrap();
        calls.iter().filter(|(name, _)| name == method).map(|(_, params)| params.clone()).collect()
    }

    async fn answer(&self, method: &str, params: &Value) -> Result<Value, String> {
        match method {
            "devices.list" => Ok(json!({"devices": [
                {"id": PHONE, "name": "Phone", "platform": "android", "type": "real", "version": "16",
                 "state": "online", "model": "Pixel 9"},
                {"id": "CLOUD", "name": "Elsewhere", "platform": "ios", "type": "real", "version": "18",
                 "state": "online", "model": "", "provider": {"type": "mobilenext"}},
            ]})),
            "device.info" if !*self.alive.borrow() => Err("agent is dead".to_owned()),
            "device.info" => {
                Ok(json!({"id": PHONE, "screenSize": {"width": 1080, "height": 2424, "scale": 1}}))
            }
            "device.apps.list" => {
                let apps = self.apps.lock().unwrap();
                Ok(apps.iter().map(|app| json!({"packageName": app})).collect())
            }
            "device.apps.install" => {
                let path = params["path"].as_str().unwrap();
                let content = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
                if content == "bad" {
                    return Err(format!("failed to install {path}"));
                }
                self.apps.lock().unwrap().insert(content);
                Ok(json!({"message": format!("Installed app from '{path}'")}))
            }
            "device.apps.uninstall" => {
                self.apps.lock().unwrap().remove(params["bundleId"].as_str().unwrap());
                Ok(json!({}))
            }
            "device.screenrecord" => {
                std::fs::write(params["output"].as_str().unwrap(), "a film")
                    .map_err(|error| error.to_string())?;
                Ok(json!({"status": "recording", "output": params["output"]}))
            }
            "device.url" => {
                self.started.notify_one();
                self.gate.notified().await;
                Ok(json!({"status": "ok"}))
            }
            _ => Ok(json!({"status": "ok"})),
        }
    }
}

async fn rpc(State(fake): State<FakeMobilecli>, Json(request): Json<Value>) -> Json<Value> {
    let method = request["method"].as_str().unwrap();
    if method != "devices.list" {
        fake.calls.lock().unwrap().push((method.to_owned(), request["params"].clone()));
    }
    let answer = match fake.answer(method, &request["params"]).await {
        Ok(result) => json!({"jsonrpc": "2.0", "id": request["id"], "result": result}),
        Err(data) => {
            let error = json!({"code": -32000, "message": "Server error", "data": data});
            json!({"jsonrpc": "2.0", "id": request["id"], "error": error})
        }
    };
    Json(answer)
}
