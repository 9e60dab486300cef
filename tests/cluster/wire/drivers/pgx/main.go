// A mixed workload of pgx; prints what came back, and nothing that may differ by chance.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

var (
	ctx  = context.Background()
	told [][2]any
)

func tell(what string, value any) { told = append(told, [2]any{what, value}) }

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func code(err error) string {
	var known *pgconn.PgError
	if errors.As(err, &known) {
		return known.Code
	}
	return fmt.Sprint(err)
}

func rows(db interface {
	Query(context.Context, string, ...any) (pgx.Rows, error)
}, sql string, args ...any) any {
	found, err := pgx.CollectRows(must(db.Query(ctx, sql, args...)), pgx.RowToMap)
	if err != nil {
		return code(err)
	}
	return found
}

func main() {
	url := os.Getenv("DATABASE_URL")
	for _, mode := range []string{
		"cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol",
	} {
		workload(url, mode)
	}
	pool := must(pgxpool.New(ctx, url))
	sums := make(chan [2]int)
	for n := range 40 {
		go func() {
			var sum int
			err := pool.QueryRow(ctx, "SELECT coalesce(sum(x), 0)::int FROM generate_series(1, $1::int) x", n).Scan(&sum)
			sums <- [2]int{n, must(sum, err)}
		}()
	}
	all := make([]int, 40)
	for range 40 {
		one := <-sums
		all[one[0]] = one[1]
	}
	tell("pool", all)
	pool.Close()
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", " ")
	if err := out.Encode(told); err != nil {
		log.Fatal(err)
	}
}

func workload(url, mode string) {
	config := must(pgx.ParseConfig(url + "?default_query_exec_mode=" + mode))
	var notices []string
	config.OnNotice = func(_ *pgconn.PgConn, notice *pgconn.Notice) { notices = append(notices, notice.Message) }
	conn := must(pgx.ConnectConfig(ctx, config))
	defer conn.Close(ctx)
	must(conn.Exec(ctx, "CREATE TEMP TABLE work (id int PRIMARY KEY, body bytea, note text)"))
	for id := range 30 {
		tell("inserted", rows(conn, "INSERT INTO work VALUES ($1, $2, $3) RETURNING id, note",
			id, bytes.Repeat([]byte{byte(id)}, id*997), fmt.Sprint("ü", id)))
	}
	copied := must(conn.CopyFrom(ctx, pgx.Identifier{"work"}, []string{"id", "note"},
		pgx.CopyFromSlice(5_000, func(n int) ([]any, error) { return []any{1_000 + n, "copied"}, nil })))
	tell("copied", copied)
	tell("many", rows(conn, "SELECT id, length(body) AS size, note FROM work WHERE id < 40 ORDER BY id"))
	var big []byte
	must(0, conn.QueryRow(ctx, "SELECT $1::bytea", bytes.Repeat([]byte{7}, 3_000_000)).Scan(&big))
	tell("big", len(big))

	batch := &pgx.Batch{}
	for id := range 20 {
		batch.Queue("UPDATE work SET note = $2 WHERE id = $1", id, "batched")
		batch.Queue("SELECT note FROM work WHERE id = $1", id+5)
	}
	results := conn.SendBatch(ctx, batch)
	for range 20 {
		tag := must(results.Exec())
		var note string
		must(0, results.QueryRow().Scan(&note))
		tell("batch", []string{tag.String(), note})
	}
	must(0, results.Close())
	wrong := &pgx.Batch{}
	wrong.Queue("SELECT 1")
	wrong.Queue("SELECT 1 / 0")
	wrong.Queue("SELECT 2")
	tell("batch, one wrong", code(conn.SendBatch(ctx, wrong).Close()))

	_, err := conn.Exec(ctx, "INSERT INTO work (id) VALUES ($1)", 1)
	tell("unique", code(err))
	_, err = conn.Exec(ctx, "SELEC 1")
	tell("syntax", code(err))
	err = pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.Serializable}, func(tx pgx.Tx) error {
		must(tx.Exec(ctx, "DELETE FROM work WHERE id = 9"))
		inner := pgx.BeginFunc(ctx, tx, func(nested pgx.Tx) error {
			_, err := nested.Exec(ctx, "SELECT 1 / 0")
			return err
		})
		tell("savepoint", code(inner))
		return nil
	})
	tell("committed", code(err))
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "SELECT nothing FROM work")
		tell("in a transaction", code(err))
		return nil
	})
	tell("rolled back", code(err))

	must(conn.Exec(ctx, "LISTEN told"))
	must(conn.Exec(ctx, "DO $$ BEGIN RAISE NOTICE 'to be noticed'; END $$"))
	must(conn.Exec(ctx, "SELECT pg_notify('told', 'by itself')"))
	heard := must(conn.WaitForNotification(ctx))
	tell("notices", []string{notices[0], heard.Channel, heard.Payload})

	soon, done := context.WithTimeout(ctx, 100*time.Millisecond)
	defer done()
	_, err = conn.Exec(soon, "SELECT pg_sleep(20)")
	tell("cancelled", []bool{errors.Is(err, context.DeadlineExceeded), conn.IsClosed()})
}
