package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

var nginxNeeds = needs{[]string{"nginx|/usr/sbin/nginx"}, "apt-get install nginx-light"}

// nginxConfig has two workers, which is what the other contenders have in threads on a small
// machine, and reads bodies that it does not need into memory.
const nginxConfig = `daemon off;
worker_processes auto;
pid %[1]s/nginx.pid;
error_log stderr error;
events { worker_connections 4096; }
http {
	access_log off;
	keepalive_requests 1000000000;
	client_max_body_size 1m;
	client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
	server { listen %[2]s backlog=4096; location / { return 204; } }
}
`

func runNginx(ctx context.Context, address, dir string) error {
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, fmt.Appendf(nil, nginxConfig, dir, address), 0o600); err != nil {
		return err
	}
	server, err := start(prepare(nil, dir, locate(nginxNeeds.programs[0]), "-p", dir, "-c", file))
	if err != nil {
		return err
	}
	defer server.stop(syscall.SIGTERM)
	return server.untilEnd(ctx)
}
