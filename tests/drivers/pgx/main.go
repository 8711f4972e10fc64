// pgx: half of the connections are by themselves, half come from a pgxpool.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"weir.test/mixed"
)

var (
	ctx         = context.Background()
	pool        *pgxpool.Pool
	connections = make([]*pgx.Conn, mixed.Connections)
	zones       = []string{"Asia/Tokyo", "America/Lima", "Europe/Oslo"}
)

// querier is a connection or a transaction.
type querier interface {
	Exec(context.Context, string, ...any) (pgconn.CommandTag, error)
	Query(context.Context, string, ...any) (pgx.Rows, error)
	QueryRow(context.Context, string, ...any) pgx.Row
}

type failure struct {
	code, text string
	hasNumber  bool
}

var failures = []failure{
	{"22012", "select $1::int / 0", true},
	{"42601", "selec $1", true},
	{"42P01", "select * from missing where a = $1", true},
	{"22P02", "select 'x'::int", false},
	{"23505", "insert into items select $1::int, 1, 'twice' from generate_series(1, 2)", true},
}

func options(schema string) string {
	return fmt.Sprintf("search_path=%s,public application_name=pgx", schema)
}

func connect(w *mixed.Worker) *pgx.Conn {
	c, err := pgx.Connect(ctx, options(w.Schema))
	mixed.Must(err)
	return c
}

func begin(w *mixed.Worker) {
	if !w.IsPooled {
		connections[w.Number] = connect(w)
	}
}

func end(w *mixed.Worker) {
	if !w.IsPooled {
		mixed.Must(connections[w.Number].Close(ctx))
	}
}

func using(body func(*mixed.Worker, *pgx.Conn)) func(*mixed.Worker) {
	return func(w *mixed.Worker) {
		if !w.IsPooled {
			body(w, connections[w.Number])
			return
		}
		mixed.Must(pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
			body(w, c.Conn())
			return nil
		}))
	}
}

func exec(c querier, text string, values ...any) int64 {
	tag, err := c.Exec(ctx, text, values...)
	mixed.Must(err)
	return tag.RowsAffected()
}

func rows[T any](c querier, text string, values ...any) []T {
	found, err := c.Query(ctx, text, values...)
	mixed.Must(err)
	all, err := pgx.CollectRows(found, pgx.RowTo[T])
	mixed.Must(err)
	return all
}

func refused(err error, code string) {
	var refusal *pgconn.PgError
	if !errors.As(err, &refusal) || refusal.Code != code {
		panic(fmt.Sprintf("%v (%T), %s was expected", err, err, code))
	}
}

func fail(w *mixed.Worker, c querier, f failure) {
	var err error
	if f.hasNumber {
		_, err = c.Exec(ctx, f.text, w.Number)
	} else {
		_, err = c.Exec(ctx, f.text)
	}
	refused(err, f.code)
}

const own = "select $1::int, $2::int, marker from marker"

func checkRow(w *mixed.Worker, row pgx.Row, sequence int) {
	var number, came int
	var marker string
	mixed.Must(row.Scan(&number, &came, &marker))
	mixed.Equal([]any{number, came, marker}, []any{w.Number, sequence, w.Schema})
}

func checkOwn(w *mixed.Worker, c querier) {
	sequence := w.Next()
	checkRow(w, c.QueryRow(ctx, own, w.Number, sequence), sequence)
}

func insert(w *mixed.Worker, c querier, sequence int, body string) {
	exec(c, "insert into items values ($1, $2, $3)", w.Number, sequence, body)
}

func stored(w *mixed.Worker, c querier, sequence int) []string {
	return rows[string](c, "select body from items where connection = $1 and sequence = $2", w.Number, sequence)
}

func forget(w *mixed.Worker, c querier, n int64) {
	mixed.Equal(exec(c, "delete from items where connection = $1", w.Number), n)
}

func doTransaction(w *mixed.Worker, c *pgx.Conn) {
	sequence := w.Next()
	body := fmt.Sprintf("body %d", sequence)
	mixed.Must(pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
		insert(w, tx, sequence, body)
		mixed.Equal(stored(w, tx, sequence), []string{body})
		return nil
	}))
	mixed.Equal(stored(w, c, sequence), []string{body})
	forget(w, c, 1)
}

func doRollback(w *mixed.Worker, c *pgx.Conn) {
	sequence := w.Next()
	tx, err := c.Begin(ctx)
	mixed.Must(err)
	insert(w, tx, sequence, "body")
	mixed.Must(tx.Rollback(ctx))
	mixed.Equal(stored(w, c, sequence), []string{})
}

func doError(w *mixed.Worker, c *pgx.Conn) {
	f := failures[w.Random.Intn(len(failures))]
	fail(w, c, f)
	checkOwn(w, c)
	tx, err := c.Begin(ctx)
	mixed.Must(err)
	inner, err := tx.Begin(ctx) // a savepoint
	mixed.Must(err)
	fail(w, inner, f)
	_, err = inner.Exec(ctx, "select 1")
	refused(err, "25P02")
	mixed.Must(inner.Rollback(ctx))
	checkOwn(w, tx)
	fail(w, tx, f)
	mixed.Must(tx.Rollback(ctx))
	checkOwn(w, c)
}

func doBatch(w *mixed.Worker, c *pgx.Conn) {
	batch := &pgx.Batch{}
	for range 20 {
		sequence := w.Next()
		batch.Queue(own, w.Number, sequence).QueryRow(func(row pgx.Row) error {
			checkRow(w, row, sequence)
			return nil
		})
	}
	batch.Queue("insert into items values ($1, $2, 'batch')", w.Number, w.Next())
	mixed.Must(c.SendBatch(ctx, batch).Close())
	forget(w, c, 1)

	failing := &pgx.Batch{}
	for i := range 20 {
		failing.Queue("insert into items values ($1, $2, 'undone')", w.Number, w.Next())
		failing.Queue("select 1 / $1::int", 10-i)
	}
	refused(c.SendBatch(ctx, failing).Close(), "22012")
	forget(w, c, 0)
}

func doPrepared(w *mixed.Worker, c *pgx.Conn) {
	for range 5 {
		k := w.Random.Intn(100)
		for range 1 + w.Random.Intn(5) {
			var sum, sequence int
			text := fmt.Sprintf("select $1::int + %d, $2::int", k)
			mixed.Must(c.QueryRow(ctx, text, w.Number, w.Next()).Scan(&sum, &sequence))
			mixed.Equal([]int{sum, sequence}, []int{w.Number + k, w.Sequence})
		}
		name := fmt.Sprintf("difference %d", k)
		_, err := c.Prepare(ctx, name, fmt.Sprintf("select $1::int - %d", k))
		mixed.Must(err)
		mixed.Equal(rows[int](c, name, w.Number), []int{w.Number - k})
		mixed.Must(c.Deallocate(ctx, name))
	}
}

func doReconnect(w *mixed.Worker) {
	using(func(w *mixed.Worker, c *pgx.Conn) { mixed.Must(c.Close(ctx)) })(w)
	begin(w)
}

func checkSettings(w *mixed.Worker, c querier, zone, name string) {
	var found [3]string
	mixed.Must(c.QueryRow(ctx, `select current_setting('TimeZone'), current_setting('application_name'),
		current_setting('search_path')`).Scan(&found[0], &found[1], &found[2]))
	mixed.Equal(found, [3]string{zone, name, w.Schema + ",public"})
}

func doSettings(w *mixed.Worker, c *pgx.Conn) {
	zone := c.PgConn().ParameterStatus("TimeZone")
	checkSettings(w, c, zone, "pgx")
	otherZone, otherName := zones[w.Random.Intn(3)], fmt.Sprintf("worker %d", w.Number)
	exec(c, "set time zone '"+otherZone+"'")
	exec(c, "select set_config('application_name', $1, false)", otherName)
	for range 3 {
		checkSettings(w, c, otherZone, otherName)
		mixed.Equal(c.PgConn().ParameterStatus("TimeZone"), otherZone)
	}
	tx, err := c.Begin(ctx)
	mixed.Must(err)
	exec(tx, "set application_name = 'undone'")
	exec(tx, "set local time zone 'Asia/Kabul'")
	mixed.Must(tx.Rollback(ctx))
	checkSettings(w, c, otherZone, otherName)
	exec(c, "reset time zone")
	exec(c, "reset application_name")
	checkSettings(w, c, zone, "pgx")
}

func doLarge(w *mixed.Worker, c *pgx.Conn) {
	text := strings.Repeat(fmt.Sprint(w.Random.Intn(10)), 1<<20)
	mixed.Equal(rows[string](c, "select $1::text", text)[0] == text, true)
}

func doCopy(w *mixed.Worker, c *pgx.Conn) {
	var in [][]any
	var wanted, out bytes.Buffer
	for range 200 {
		in = append(in, []any{w.Number, w.Next(), "copied"})
		fmt.Fprintf(&wanted, "%d\t%d\tcopied\n", w.Number, w.Sequence)
	}
	mixed.Must(pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
		n, err := tx.CopyFrom(ctx, pgx.Identifier{"items"}, []string{"connection", "sequence", "body"}, pgx.CopyFromRows(in))
		mixed.Must(err)
		mixed.Equal(n, int64(200))
		_, err = tx.Conn().PgConn().CopyTo(ctx, &out,
			fmt.Sprintf("copy (select * from items where connection = %d order by sequence) to stdout", w.Number))
		mixed.Must(err)
		mixed.Equal(out.String(), wanted.String())
		forget(w, tx, 200)
		return nil
	}))
}

func doCursor(w *mixed.Worker, c *pgx.Conn) {
	mixed.Must(pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
		exec(tx, "declare streamed cursor for select i from generate_series(1, 500) i")
		for n := 0; n < 500; n += 50 {
			fetched := rows[int](tx, "fetch 50 from streamed")
			mixed.Equal(len(fetched), 50)
			for i, number := range fetched {
				mixed.Equal(number, n+i+1)
			}
		}
		mixed.Equal(rows[int](tx, "fetch 50 from streamed"), []int{})
		return nil
	}))
}

// A context that ends takes the connection with it, and so that is done with one of its own.
func doCancel(w *mixed.Worker, c *pgx.Conn) {
	stop := mixed.Repeat(w.Short(), func() { mixed.Must(c.PgConn().CancelRequest(ctx)) })
	_, err := c.Exec(ctx, "select pg_sleep(30)")
	stop()
	refused(err, "57014")
	checkOwn(w, c)

	ending := connect(w)
	short, cancel := context.WithTimeout(ctx, w.Short())
	defer cancel()
	_, err = ending.Exec(short, "select pg_sleep(30)")
	mixed.Equal(errors.Is(err, context.DeadlineExceeded), true)
	mixed.Must(ending.Close(ctx))

	tx, err := c.Begin(ctx)
	mixed.Must(err)
	exec(tx, "set local statement_timeout = '5ms'")
	_, err = tx.Exec(ctx, "select pg_sleep(30)")
	refused(err, "57014")
	mixed.Must(tx.Rollback(ctx))
	checkOwn(w, c)
}

func doReset(w *mixed.Worker, c *pgx.Conn) {
	exec(c, "set application_name = 'gone'")
	checkOwn(w, c)
	exec(c, "discard all")
	mixed.Must(c.DeallocateAll(ctx)) // by which the driver forgets its statements
	mixed.Equal(rows[string](c, "select current_setting('application_name')"), []string{"pgx"})
	checkOwn(w, c)
}

func main() {
	config, err := pgxpool.ParseConfig(options("s0"))
	mixed.Must(err)
	config.MaxConns = int32(mixed.Connections / 2)
	pool, err = pgxpool.NewWithConfig(ctx, config)
	mixed.Must(err)
	defer pool.Close()
	mixed.Run([]mixed.Operation{
		{Kind: "select", Do: using(func(w *mixed.Worker, c *pgx.Conn) { checkOwn(w, c) })},
		{Kind: "transaction", Do: using(doTransaction)},
		{Kind: "rollback", Do: using(doRollback)},
		{Kind: "error", Do: using(doError)},
		{Kind: "batch", Do: using(doBatch)},
		{Kind: "prepared", Do: using(doPrepared)},
		{Kind: "reconnect", Do: doReconnect},
		{Kind: "settings", Do: using(doSettings)},
		{Kind: "large", Do: using(doLarge)},
		{Kind: "copy", Do: using(doCopy)},
		{Kind: "cursor", Do: using(doCursor)},
		{Kind: "cancel", Do: using(doCancel)},
		{Kind: "reset", Do: using(doReset)},
	}, begin, end)
}
