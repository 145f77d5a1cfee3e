//! Serves a folder with actix-files: `actix PORT FOLDER plain|gzip`.

use std::env;

use actix_files::Files;
use actix_web::{
    middleware::{Compress, Condition},
    App, HttpServer,
};

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [port, folder, kind] = &arguments[..] else { panic!("a port, a folder, and a kind") };
    let (folder, is_compressed) = (folder.clone(), kind == "gzip");
    let app = move || {
        App::new()
            .wrap(Condition::new(is_compressed, Compress::default()))
            .service(Files::new("/", folder.clone()))
    };
    HttpServer::new(app).workers(1).bind(format!("127.0.0.1:{port}"))?.run().await
}
