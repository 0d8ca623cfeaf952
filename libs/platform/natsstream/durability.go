package natsstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"quittance.internal/libs/platform/env"
)

// Values of DURABILITY: what makes a message durable before its writer goes on.
const (
	// DurabilityServer: the NATS server syncs each message to disk before its PubAck (sync_interval: always).
	DurabilityServer = "server"
	// DurabilityBarrier: the NATS server is on this host and syncs when it likes; the writer joins one sync of its store's file
	// system with all who wait, after the PubAck. See package barrier and store.go.
	DurabilityBarrier = "barrier"
	// DurabilityRelaxed takes the server as it is. For development only: with the default two-minute sync a power cut
	// lost 30,910 of 30,914 acknowledged messages (measured 2026-11).
	DurabilityRelaxed = "relaxed"
)

// Durability says how it is made sure that what a Log has stored is durable.
type Durability struct {
	// Mode is one of the constants; "" is DurabilityRelaxed.
	Mode string
	// MonitorURL is the NATS server's HTTP monitoring address, where DurabilityServer is checked.
	MonitorURL string
	// Unchecked leaves it to others to check it.
	Unchecked bool
	// StoreDir is the NATS server's store_dir as this process sees it, for DurabilityBarrier.
	StoreDir string
	// Sync stands in for the sync of StoreDir's file system in tests of a failing disk; nil is the real one.
	Sync func() error
}

// DurabilityFromEnv reads DURABILITY (default: server), NATS_MONITOR_URL and NATS_STORE_DIR.
func DurabilityFromEnv(r *env.Reader) Durability {
	d := Durability{
		Mode:       r.Enum("DURABILITY", DurabilityServer, DurabilityServer, DurabilityBarrier, DurabilityRelaxed),
		MonitorURL: r.String("NATS_MONITOR_URL", ""),
		StoreDir:   r.String("NATS_STORE_DIR", ""),
	}
	if d.Mode == DurabilityBarrier && d.StoreDir == "" {
		r.Fault("NATS_STORE_DIR", "DURABILITY=barrier needs it: the NATS server's store_dir, as this process sees it")
	}
	return d
}

// UncheckedFromEnv is DurabilityFromEnv for those who leave it to ingress and quotes to look whether the server syncs always: a
// barrier is everybody's own affair, the rest the server's.
func UncheckedFromEnv(r *env.Reader) Durability {
	d := DurabilityFromEnv(r)
	d.Unchecked = true
	return d
}

// OpenLog returns a Log over nc, after it has made sure that what it stores will be as durable as d says: that the server
// syncs always, or that it can be synced from here, for which streams names those that are written. Close it.
func OpenLog(ctx context.Context, nc *nats.Conn, d Durability, log *zap.Logger, streams ...string) (*Log, error) {
	l, err := NewLog(nc)
	if err != nil {
		return nil, err
	}
	l.together = d.Mode == DurabilityServer
	switch {
	case d.Mode == DurabilityServer && !d.Unchecked:
		err = checkSyncAlways(ctx, d.MonitorURL)
	case d.Mode == DurabilityBarrier:
		l.store, err = openStore(ctx, l, d, log, streams)
	}
	if err != nil {
		return nil, fmt.Errorf("check durability: %w", err)
	}
	return l, nil
}

// checkSyncAlways: the client protocol does not show the setting, so a monitoring port that cannot be reached is an error.
func checkSyncAlways(ctx context.Context, monitorURL string) error {
	if monitorURL == "" {
		return errors.New("NATS_MONITOR_URL is not set: with DURABILITY=server the server's sync_interval is checked there " +
			"(on the NATS server's own host also: DURABILITY=barrier; for development without a guarantee: DURABILITY=relaxed)")
	}
	storage, err := ReadStorage(ctx, monitorURL)
	if err != nil {
		return fmt.Errorf("read sync_interval of the NATS server: %w", err)
	}
	if !storage.SyncAlways {
		return errors.New("the NATS server does not sync each message before it acknowledges: acknowledged webhooks would be " +
			"lost in a power cut; set `sync_interval: always` in its jetstream block (on its own host also: DURABILITY=barrier; " +
			"for development: DURABILITY=relaxed)")
	}
	return nil
}

// Storage is what the NATS server's monitoring port tells of its store.
type Storage struct {
	// Used and Max are bytes on disk: what is stored, and above which the server refuses (max_file_store).
	Used, Max uint64
	// SyncAlways says that each message is on disk before its PubAck.
	SyncAlways bool
	// Dir is the store's folder on the server's machine.
	Dir string
	// Now is the server's clock.
	Now time.Time
}

// ReadStorage asks the monitoring port, such as http://127.0.0.1:8222. It takes five seconds at most. Of a cluster all servers are
// named, separated by commas, and more than half of them must answer: any of them may be away, and any may be the next leader.
// What comes back is then the fullest store, the smallest limit, and SyncAlways where all that answer sync.
func ReadStorage(ctx context.Context, monitorURLs string) (Storage, error) {
	urls := strings.Split(monitorURLs, ",")
	answers, faults := make([]Storage, len(urls)), make([]error, len(urls))
	var wg sync.WaitGroup
	for i, u := range urls {
		wg.Go(func() { answers[i], faults[i] = readStorage(ctx, strings.TrimSpace(u)) })
	}
	wg.Wait()
	var all Storage
	answered := 0
	for i, s := range answers {
		if faults[i] != nil {
			continue
		}
		if answered++; answered == 1 {
			all = s
			continue
		}
		all = Storage{Used: max(all.Used, s.Used), Max: min(all.Max, s.Max), SyncAlways: all.SyncAlways && s.SyncAlways, Now: s.Now}
	}
	if 2*answered <= len(urls) {
		return Storage{}, errors.Join(faults...)
	}
	return all, nil
}

func readStorage(ctx context.Context, monitorURL string) (Storage, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, monitorURL+"/varz", http.NoBody)
	if err != nil {
		return Storage{}, fmt.Errorf("read NATS_MONITOR_URL: %w", err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return Storage{}, fmt.Errorf("read NATS_MONITOR_URL: %w", err)
	}
	defer res.Body.Close()
	var varz struct {
		Now       time.Time `json:"now"`
		JetStream struct {
			Config *struct {
				SyncAlways bool   `json:"sync_always"`
				MaxStore   uint64 `json:"max_storage"`
				Dir        string `json:"store_dir"`
			} `json:"config"`
			Stats struct {
				Store uint64 `json:"storage"`
			} `json:"stats"`
		} `json:"jetstream"`
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&varz); err != nil {
		return Storage{}, fmt.Errorf("read %s/varz: %w", monitorURL, err)
	}
	if varz.JetStream.Config == nil {
		return Storage{}, errors.New("the NATS server has no JetStream: enable it in its configuration")
	}
	c := varz.JetStream.Config
	return Storage{Used: varz.JetStream.Stats.Store, Max: c.MaxStore, SyncAlways: c.SyncAlways, Dir: c.Dir, Now: varz.Now}, nil
}
