package gateway

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/events"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/spool"
)

// childEnv makes the test binary a gateway of its own, to be killed. Its value
// is the spool's folder, the database, the upstream and the organisation.
const childEnv = "INVENTIV_GATEWAY_CHILD"

func TestMain(m *testing.M) {
	if value := os.Getenv(childEnv); value != "" {
		if err := serveUntilKilled(strings.Split(value, "|")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// serveUntilKilled runs a gateway with its loops and prints its URL.
func serveUntilKilled(args []string) error {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, args[1])
	if err != nil {
		return err
	}
	organisation := uuid.MustParse(args[3])
	instances := &fakeInstances{organisation: organisation, urls: map[uuid.UUID]string{}}
	instances.add(args[2])
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	s, err := New(Config{
		Pool: pool, Keys: &fakeKeys{principal: auth.Principal{Organisation: organisation, Scopes: auth.ScopeInference}}, Instances: instances,
		Prices: fakePrices{}, Models: fakeModels{}, Events: events.New(log), SpoolDir: args[0], Log: log,
	})
	if err != nil {
		return err
	}
	if _, err := s.reload(ctx); err != nil {
		return err
	}
	if _, err := s.admission.pass(ctx); err != nil {
		return err
	}
	for _, l := range s.Loops() {
		go l.Run(ctx)
	}
	server := httptest.NewServer(s)
	fmt.Println(server.URL)
	select {}
}

// TestF28_killedInTheMiddleOfManyRequests kills the gateway while 64 clients
// stream and ask, again and again on one spool. Each answer that was complete at
// a client has exactly one completed record afterwards, every other request at
// most one.
func TestF28_killedInTheMiddleOfManyRequests(t *testing.T) {
	t.Parallel()
	const kills, clients = 5, 64
	dsn, dir := dbtest.URL(t), t.TempDir()
	pool, err := pgxpool.New(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	organisation := uuid.Must(uuid.NewV7())
	up := engine(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if !strings.Contains(string(body), `"stream":true`) {
			_, _ = io.WriteString(w, wholeAnswer)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		for range 20 {
			_, _ = io.WriteString(w, piece)
			_ = http.NewResponseController(w).Flush()
		}
		_, _ = io.WriteString(w, "data: [DONE]\n\n")
	})
	var mu sync.Mutex
	sent, complete := 0, map[uuid.UUID]bool{}
	for range kills {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), childEnv+"="+strings.Join([]string{dir, dsn, up, organisation.String()}, "|"))
		cmd.Stderr = testWriter{t}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		base, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		budget := 100 + rand.IntN(500)
		var all sync.WaitGroup
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
		for i := range clients {
			all.Go(func() {
				for {
					id, ok := askOnce(t.Context(), client, strings.TrimSpace(base), i%2 == 0)
					mu.Lock()
					sent++
					if ok {
						complete[id] = true
					}
					if budget--; budget == 0 {
						_ = cmd.Process.Kill()
					}
					mu.Unlock()
					if !ok {
						return
					}
				}
			})
		}
		all.Wait()
		_ = cmd.Wait()
		client.CloseIdleConnections()
	}
	checkKilled(t, pool, dir, organisation, complete, sent)
}

// askOnce sends one request and reports whether its answer was complete.
func askOnce(ctx context.Context, client *http.Client, base string, stream bool) (uuid.UUID, bool) {
	body := chatBody("")
	if stream {
		body = chatBody(`"stream":true,`)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		return uuid.Nil, false
	}
	req.Header = http.Header{"Authorization": {"Bearer " + goodKey}, "Content-Type": {"application/json"}}
	res, err := client.Do(req)
	if err != nil {
		return uuid.Nil, false
	}
	defer res.Body.Close()
	got, _ := io.ReadAll(res.Body) // a stream may be whole and its connection cut
	id, _ := uuid.Parse(res.Header.Get("X-Request-Id"))
	whole := string(got) == wholeAnswer
	if stream {
		whole = strings.HasSuffix(string(got), "data: [DONE]\n\n")
	}
	return id, whole && res.StatusCode == http.StatusOK
}

// checkKilled recovers the spool a last time and holds the records against what
// the clients saw.
func checkKilled(t *testing.T, pool *pgxpool.Pool, dir string, organisation uuid.UUID, complete map[uuid.UUID]bool, sent int) {
	t.Helper()
	records, err := spool.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := &Service{pool: pool, spool: records, admission: newAdmission(pool, slog.Default()), untold: map[uuid.UUID]bool{}, used: map[uuid.UUID]bool{}, noted: time.Now(), events: events.New(slog.New(slog.DiscardHandler)), log: slog.New(slog.DiscardHandler)}
	if _, err := s.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := records.Close(); err != nil {
		t.Fatal(err)
	}
	rows, err := pool.Query(t.Context(), `SELECT request_id, status FROM gateway.usage_records WHERE organisation_id = $1`, organisation)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	total, interrupted, seen := 0, 0, map[uuid.UUID]bool{}
	for rows.Next() {
		var id uuid.UUID
		var status string
		if err := rows.Scan(&id, &status); err != nil {
			t.Fatal(err)
		}
		if seen[id] {
			t.Errorf("%s has two records", id)
		}
		seen[id] = true
		total++
		if status == "interrupted" {
			interrupted++
		}
		if complete[id] && status != "completed" {
			t.Errorf("%s was complete at the client and is %s", id, status)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	for id := range complete {
		if !seen[id] {
			t.Errorf("%s was complete at the client and has no record", id)
		}
	}
	if total > sent {
		t.Errorf("%d records of %d requests", total, sent)
	}
	t.Logf("%d requests, %d complete at the client, %d records, %d of them interrupted", sent, len(complete), total, interrupted)
}

// TestF23_theDatabaseIsAwayForAWhile stops PostgreSQL under traffic, crashes and
// freezes it: no request of a known key fails, and afterwards every one has its
// record. It takes seconds: PostgreSQL recovers from each crash.
func TestF23_theDatabaseIsAwayForAWhile(t *testing.T) {
	t.Parallel()
	server := dbtest.NewServer(t)
	pool, err := pgxpool.New(t.Context(), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	b := newBed(t, pool, answering(t, 200, "application/json", wholeAnswer))
	ctx, stop := context.WithCancel(t.Context())
	var loops sync.WaitGroup
	for _, l := range b.Loops() {
		loops.Go(func() { l.Run(ctx) })
	}
	asked := 0
	ask := func() {
		t.Helper()
		for range 100 {
			if res := b.ask(t, "/v1/chat/completions", chatBody("")); res.StatusCode != http.StatusOK {
				t.Fatalf("request %d: %d %s", asked, res.StatusCode, text(t, res))
			}
			asked++
		}
	}
	ask()
	for range 3 {
		server.Crash()
		ask()
	}
	server.Stop()
	ask()
	server.Start()
	ask()
	server.Freeze()
	ask()
	server.Thaw()
	ask()
	count := func() (n int) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Second)
		defer cancel()
		_ = pool.QueryRow(ctx, `SELECT count(*) FROM gateway.usage_records WHERE status = 'completed'`).Scan(&n)
		return n
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%d records of %d requests; in the spool %+v", count(), asked, b.spool.Depth())
		}
	})
	eventually(t, 30*time.Second, "every request has its record", func() bool { return count() == asked })
	stop()
	loops.Wait()
}

// TestF25_awayForSoLongThatKeysAreNotBelieved has the table of keys refuse, as it
// does five minutes after the database went: new requests get 503 with the
// reason, a stream that is open ends whole, and its record is stored when the
// database is back, without a restart.
func TestF25_awayForSoLongThatKeysAreNotBelieved(t *testing.T) {
	t.Parallel()
	goOn := make(chan struct{})
	server := dbtest.NewServer(t)
	pool, err := pgxpool.New(t.Context(), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	b := newBed(t, pool, engine(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, piece)
		_ = http.NewResponseController(w).Flush()
		<-goOn
		_, _ = io.WriteString(w, "data: [DONE]\n\n")
	}))
	stream := b.ask(t, "/v1/chat/completions", chatBody(`"stream":true,`))
	if _, err := io.ReadFull(stream.Body, make([]byte, len(piece))); err != nil {
		t.Fatal(err)
	}
	server.Stop()
	b.keys.tooOld.Store(true)
	res := b.ask(t, "/v1/chat/completions", chatBody(""))
	if body := text(t, res); res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" || res.Header.Get("X-Should-Retry") != "true" ||
		!strings.Contains(body, `"code":"auth_unavailable"`) || !strings.Contains(body, "for more than five minutes") {
		t.Errorf("got %d %v %s", res.StatusCode, res.Header, body)
	}
	close(goOn)
	if rest := text(t, stream); rest != "data: [DONE]\n\n" {
		t.Errorf("the stream that was open ends with %q", rest)
	}
	if _, err := b.flush(t.Context()); err == nil {
		t.Error("the records are stored in a database that is away")
	}
	server.Start()
	b.keys.tooOld.Store(false)
	eventually(t, 20*time.Second, "the record is stored", func() bool { _, err := b.flush(t.Context()); return err == nil })
	if r := b.stored(t); len(r) != 1 || r[0].Status != "completed" {
		t.Errorf("records = %+v", r)
	}
}

// TestF26_aFrozenDatabaseHoldsUpNoKnownKey freezes PostgreSQL: nobody who is
// known waits for it, while the loops do.
func TestF26_aFrozenDatabaseHoldsUpNoKnownKey(t *testing.T) {
	t.Parallel()
	server := dbtest.NewServer(t)
	pool, err := pgxpool.New(t.Context(), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	b := newBed(t, pool, answering(t, 200, "application/json", wholeAnswer))
	ctx, stop := context.WithCancel(t.Context())
	var loops sync.WaitGroup
	for _, l := range b.Loops() {
		loops.Go(func() { l.Run(ctx) })
	}
	defer func() { stop(); loops.Wait() }()
	server.Freeze()
	defer server.Thaw()
	var slowest time.Duration
	for range 200 {
		began := time.Now()
		if res := b.ask(t, "/v1/chat/completions", chatBody("")); res.StatusCode != http.StatusOK || text(t, res) != wholeAnswer {
			t.Fatalf("got %d", res.StatusCode)
		}
		slowest = max(slowest, time.Since(began))
	}
	if slowest > time.Second {
		t.Errorf("a request took %s", slowest)
	}
	server.Thaw()
	eventually(t, 30*time.Second, "every request has its record", func() bool {
		var n int
		_ = pool.QueryRow(t.Context(), `SELECT count(*) FROM gateway.usage_records WHERE status = 'completed'`).Scan(&n)
		return n == 200
	})
}

// TestF29_nothingIsServedUnmetered closes the spool, as a full disk would.
func TestF29_nothingIsServedUnmetered(t *testing.T) {
	t.Parallel()
	var forwarded sync.Once
	b := newBed(t, dbtest.New(t), engine(t, func(http.ResponseWriter, *http.Request) { forwarded.Do(func() { t.Error("it was forwarded") }) }))
	if err := b.spool.Close(); err != nil {
		t.Fatal(err)
	}
	res := b.ask(t, "/v1/chat/completions", chatBody(""))
	if got := code(t, res); res.StatusCode != http.StatusServiceUnavailable || got != "metering_unavailable" {
		t.Errorf("got %d %s", res.StatusCode, got)
	}
}
