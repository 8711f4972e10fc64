// lib/pq: half of the workers have a sql.DB of one connection each, half share one of ten.
package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"

	"github.com/lib/pq"
	"weir.test/mixed"
)

var (
	ctx       = context.Background()
	databases = make([]*sql.DB, mixed.Connections)
	shared    = open("s0", mixed.Connections/2)
	zones     = []string{"Asia/Tokyo", "America/Lima", "Europe/Oslo"}
)

// querier is a connection or a transaction.
type querier interface {
	ExecContext(context.Context, string, ...any) (sql.Result, error)
	QueryContext(context.Context, string, ...any) (*sql.Rows, error)
	QueryRowContext(context.Context, string, ...any) *sql.Row
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

func open(schema string, max int) *sql.DB {
	db, err := sql.Open("postgres", fmt.Sprintf("search_path=%s,public application_name=pq", schema))
	mixed.Must(err)
	db.SetMaxOpenConns(max)
	db.SetMaxIdleConns(max)
	return db
}

func begin(w *mixed.Worker) {
	databases[w.Number] = shared
	if !w.IsPooled {
		databases[w.Number] = open(w.Schema, 1)
	}
}

func end(w *mixed.Worker) {
	if !w.IsPooled {
		mixed.Must(databases[w.Number].Close())
	}
}

func using(body func(*mixed.Worker, *sql.Conn)) func(*mixed.Worker) {
	return func(w *mixed.Worker) {
		c, err := databases[w.Number].Conn(ctx)
		mixed.Must(err)
		body(w, c)
		if err := c.Close(); !errors.Is(err, sql.ErrConnDone) {
			mixed.Must(err)
		}
	}
}

func exec(c querier, text string, values ...any) int64 {
	result, err := c.ExecContext(ctx, text, values...)
	mixed.Must(err)
	n, err := result.RowsAffected()
	mixed.Must(err)
	return n
}

func strs(c querier, text string, values ...any) []string {
	found, err := c.QueryContext(ctx, text, values...)
	mixed.Must(err)
	all := []string{}
	for found.Next() {
		var value string
		mixed.Must(found.Scan(&value))
		all = append(all, value)
	}
	mixed.Must(found.Err())
	return all
}

func refused(err error, code string) {
	var refusal *pq.Error
	if !errors.As(err, &refusal) || string(refusal.Code) != code {
		panic(fmt.Sprintf("%v (%T), %s was expected", err, err, code))
	}
}

func fail(w *mixed.Worker, c querier, f failure) {
	var err error
	if f.hasNumber {
		_, err = c.ExecContext(ctx, f.text, w.Number)
	} else {
		_, err = c.ExecContext(ctx, f.text)
	}
	refused(err, f.code)
}

func checkOwn(w *mixed.Worker, c querier) {
	var number, sequence int
	var marker string
	mixed.Must(c.QueryRowContext(ctx, "select $1::int, $2::int, marker from marker", w.Number, w.Next()).
		Scan(&number, &sequence, &marker))
	mixed.Equal([]any{number, sequence, marker}, []any{w.Number, w.Sequence, w.Schema})
}

func insert(w *mixed.Worker, c querier, sequence int, body string) {
	exec(c, "insert into items values ($1, $2, $3)", w.Number, sequence, body)
}

func stored(w *mixed.Worker, c querier, sequence int) []string {
	return strs(c, "select body from items where connection = $1 and sequence = $2", w.Number, sequence)
}

func forget(w *mixed.Worker, c querier, n int64) {
	mixed.Equal(exec(c, "delete from items where connection = $1", w.Number), n)
}

func started(c *sql.Conn) *sql.Tx {
	tx, err := c.BeginTx(ctx, nil)
	mixed.Must(err)
	return tx
}

func doTransaction(w *mixed.Worker, c *sql.Conn) {
	sequence := w.Next()
	body := fmt.Sprintf("body %d", sequence)
	tx := started(c)
	insert(w, tx, sequence, body)
	mixed.Equal(stored(w, tx, sequence), []string{body})
	mixed.Must(tx.Commit())
	mixed.Equal(stored(w, c, sequence), []string{body})
	forget(w, c, 1)
}

func doRollback(w *mixed.Worker, c *sql.Conn) {
	sequence := w.Next()
	tx := started(c)
	insert(w, tx, sequence, "body")
	mixed.Must(tx.Rollback())
	mixed.Equal(stored(w, c, sequence), []string{})
}

func doError(w *mixed.Worker, c *sql.Conn) {
	f := failures[w.Random.Intn(len(failures))]
	fail(w, c, f)
	checkOwn(w, c)
	tx := started(c)
	exec(tx, "savepoint before")
	fail(w, tx, f)
	_, err := tx.ExecContext(ctx, "select 1")
	refused(err, "25P02")
	exec(tx, "rollback to savepoint before")
	checkOwn(w, tx)
	fail(w, tx, f)
	mixed.Must(tx.Rollback())
	checkOwn(w, c)
}

// The driver sends more than one statement only as one text.
func doBatch(w *mixed.Worker, c *sql.Conn) {
	text := ""
	for i := range 20 {
		text += fmt.Sprintf("select %d, marker from marker;", i)
	}
	found, err := c.QueryContext(ctx, text)
	mixed.Must(err)
	for i := range 20 {
		var n int
		var marker string
		mixed.Equal(found.Next(), true)
		mixed.Must(found.Scan(&n, &marker))
		mixed.Equal([]any{n, marker}, []any{i, w.Schema})
		mixed.Equal(found.Next(), false)
		mixed.Equal(found.NextResultSet(), i < 19)
	}
	mixed.Must(found.Err())
	mixed.Must(found.Close())
	_, err = c.ExecContext(ctx, fmt.Sprintf("insert into items values (%d, %d, 'undone'); select 1 / 0; select 1", w.Number, w.Next()))
	refused(err, "22012")
	forget(w, c, 0)
}

func doPrepared(w *mixed.Worker, c *sql.Conn) {
	var statements []*sql.Stmt
	var added []int
	for range 5 {
		added = append(added, w.Random.Intn(100))
		statement, err := c.PrepareContext(ctx, fmt.Sprintf("select $1::int + %d, $2::int", added[len(added)-1]))
		mixed.Must(err)
		statements = append(statements, statement)
	}
	for range 15 {
		var sum, sequence int
		i := w.Random.Intn(5)
		mixed.Must(statements[i].QueryRowContext(ctx, w.Number, w.Next()).Scan(&sum, &sequence))
		mixed.Equal([]int{sum, sequence}, []int{w.Number + added[i], w.Sequence})
	}
	for _, statement := range statements {
		mixed.Must(statement.Close())
	}
}

func doReconnect(w *mixed.Worker, c *sql.Conn) {
	err := c.Raw(func(any) error { return driver.ErrBadConn })
	mixed.Equal(errors.Is(err, driver.ErrBadConn), true)
}

func checkSettings(w *mixed.Worker, c querier, zone, name string) {
	var found [3]string
	mixed.Must(c.QueryRowContext(ctx, `select current_setting('TimeZone'), current_setting('application_name'),
		current_setting('search_path')`).Scan(&found[0], &found[1], &found[2]))
	mixed.Equal(found, [3]string{zone, name, w.Schema + ",public"})
}

func doSettings(w *mixed.Worker, c *sql.Conn) {
	zone := strs(c, "show time zone")[0]
	checkSettings(w, c, zone, "pq")
	otherZone, otherName := zones[w.Random.Intn(3)], fmt.Sprintf("worker %d", w.Number)
	exec(c, "set time zone '"+otherZone+"'")
	mixed.Equal(strs(c, "select set_config('application_name', $1, false)", otherName), []string{otherName})
	for range 3 {
		checkSettings(w, c, otherZone, otherName)
	}
	tx := started(c)
	exec(tx, "set application_name = 'undone'; set local time zone 'Asia/Kabul'")
	mixed.Must(tx.Rollback())
	checkSettings(w, c, otherZone, otherName)
	exec(c, "reset time zone")
	exec(c, "reset application_name")
	checkSettings(w, c, zone, "pq")
}

func doLarge(w *mixed.Worker, c *sql.Conn) {
	text := strings.Repeat(fmt.Sprint(w.Random.Intn(10)), 1<<20)
	mixed.Equal(strs(c, "select $1::text", text)[0] == text, true)
}

// The driver has no COPY TO.
func doCopy(w *mixed.Worker, c *sql.Conn) {
	tx := started(c)
	statement, err := tx.PrepareContext(ctx, "copy items (connection, sequence, body) from stdin")
	mixed.Must(err)
	for range 200 {
		_, err := statement.ExecContext(ctx, w.Number, w.Next(), "copied")
		mixed.Must(err)
	}
	_, err = statement.ExecContext(ctx)
	mixed.Must(err)
	mixed.Must(statement.Close())
	forget(w, tx, 200)
	mixed.Must(tx.Commit())
}

func doCursor(w *mixed.Worker, c *sql.Conn) {
	tx := started(c)
	exec(tx, "declare streamed cursor for select i from generate_series(1, 500) i")
	for n := 0; n < 500; n += 50 {
		fetched := strs(tx, "fetch 50 from streamed")
		mixed.Equal(len(fetched), 50)
		for i, number := range fetched {
			mixed.Equal(number, fmt.Sprint(n+i+1))
		}
	}
	mixed.Equal(strs(tx, "fetch 50 from streamed"), []string{})
	mixed.Must(tx.Commit())
}

// cancelled is true if a query was; the driver cancels once, which may be before it has begun.
func cancelled(w *mixed.Worker) bool {
	short, cancel := context.WithTimeout(ctx, w.Short())
	defer cancel()
	_, err := databases[w.Number].ExecContext(short, "select pg_sleep(1)")
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		refused(err, "57014")
	}
	return err != nil
}

// A context that ends takes the connection with it, and so the next one is another.
func doCancel(w *mixed.Worker) {
	for !cancelled(w) {
	}
	using(func(w *mixed.Worker, c *sql.Conn) {
		checkOwn(w, c)
		tx := started(c)
		exec(tx, "set local statement_timeout = '5ms'")
		_, err := tx.ExecContext(ctx, "select pg_sleep(30)")
		refused(err, "57014")
		mixed.Must(tx.Rollback())
		checkOwn(w, c)
	})(w)
}

func doReset(w *mixed.Worker, c *sql.Conn) {
	exec(c, "set application_name = 'gone'")
	exec(c, "discard all")
	mixed.Equal(strs(c, "select current_setting('application_name')"), []string{"pq"})
	checkOwn(w, c)
}

func main() {
	defer shared.Close()
	mixed.Run([]mixed.Operation{
		{Kind: "select", Do: using(func(w *mixed.Worker, c *sql.Conn) { checkOwn(w, c) })},
		{Kind: "transaction", Do: using(doTransaction)},
		{Kind: "rollback", Do: using(doRollback)},
		{Kind: "error", Do: using(doError)},
		{Kind: "batch", Do: using(doBatch)},
		{Kind: "prepared", Do: using(doPrepared)},
		{Kind: "reconnect", Do: using(doReconnect)},
		{Kind: "settings", Do: using(doSettings)},
		{Kind: "large", Do: using(doLarge)},
		{Kind: "copy", Do: using(doCopy)},
		{Kind: "cursor", Do: using(doCursor)},
		{Kind: "cancel", Do: doCancel},
		{Kind: "reset", Do: using(doReset)},
	}, begin, end)
}
