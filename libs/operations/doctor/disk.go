package doctor

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"quittance.internal/libs/platform/natsstream"
)

// Shares of a disk that are free.
const (
	diskWarn = 0.15
	diskFail = 0.05
)

// disk judges the disk of a server's directory, where that is one of this machine: no server tells what is free. wants is
// how much more the server may still write, and because says why.
func (p *Patient) disk(check, host, dir string, wants uint64, because, next string) Result {
	free, size, err := uint64(0), uint64(0), errNoDisk
	if local(host) {
		free, size, err = p.Free(dir)
	}
	switch {
	case errors.Is(err, errNoDisk), errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission): // another machine, or a container
		return result(check, NotChecked, "df -h "+dir+" where "+host+" runs", "%s is not a folder that can be looked at from here", dir)
	case err != nil:
		return result(check, NotChecked, "df -h "+dir, "%s: %v", dir, err)
	case size == 0:
		return result(check, NotChecked, "df -h "+dir, "%s: the disk does not tell its size", dir)
	}
	share := float64(free) / float64(size)
	r := result(check, OK, "", "%s of %s free (%.0f %%) at %s", bytes(free), bytes(size), share*100, dir)
	switch {
	case share < diskFail:
		r.Status, r.Next = Fail, next
	case free < wants:
		r.Status, r.Next = Warn, next
		r.Found += "; " + because + " " + bytes(wants)
	case share < diskWarn:
		r.Status, r.Next = Warn, next
	}
	return r
}

var errNoDisk = errors.New("not a disk of this machine")

// local reports whether a host is this machine.
func local(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// natsDisk looks at the disk under the store: where it is full before the limit is reached, NATS does not refuse, it fails.
func (p *Patient) natsDisk(s natsstream.Storage) Result {
	const name = "nats disk"
	if strings.Contains(p.MonitorURL, ",") {
		return result(name, NotChecked, "df -h in the store's folder on each of them", "each server of a cluster has a disk of its own")
	}
	if s.Dir == "" {
		return result(name, NotChecked, "", "this server does not tell where its store is")
	}
	host := "NATS"
	if u, err := url.Parse(p.MonitorURL); err == nil {
		host = u.Hostname()
	}
	wants := uint64(0)
	if s.Max > s.Used {
		wants = s.Max - s.Used
	}
	return p.disk(name, host, s.Dir, wants, "its limit (max_file_store) allows it to write", "grow the disk, or lower max_file_store: deploy/runbooks/log-store-filling.md")
}

// redisDisk looks at the disk under Redis' files.
func (p *Patient) redisDisk(ctx context.Context, master *redis.Client, info map[string]string) []Result {
	const name = "redis disk"
	const next = "grow the disk of Redis: when it is full Redis refuses writes, and messages wait"
	var all []Result
	for field, what := range map[string]string{"aof_last_bgrewrite_status": "rewrite of the append-only file", "rdb_last_bgsave_status": "snapshot"} {
		if info[field] == "err" {
			all = append(all, result("redis persistence", Fail, "look at the disk and the log of Redis", "the last %s failed", what))
		}
	}
	host, _, err := net.SplitHostPort(master.Options().Addr)
	if err != nil {
		host = master.Options().Addr
	}
	settings, err := master.ConfigGet(ctx, "dir").Result()
	switch dir := settings["dir"]; {
	case denied(err):
		// The command that tells the folder tells passwords too: it is not among the operators' rights.
		return append(all, result(name, NotChecked, "df -h in the folder of Redis where "+host+" runs", "these credentials may not ask where Redis has its files"))
	case err != nil || dir == "":
		return append(all, result(name, NotChecked, "", "this server does not tell where its files are"))
	default:
		size, _ := strconv.ParseUint(info["aof_current_size"], 10, 64)
		return append(all, p.disk(name, host, dir, size, "a rewrite of the append-only file may take", next))
	}
}
