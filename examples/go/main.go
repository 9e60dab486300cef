// A webhook consumer with net/http and pgx. `service web` answers webhooks with the handler that
// STRATEGY names, `service relay` sends what they asked for, `service schema` makes the tables.
package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"os"

	"github.com/jackc/pgx/v5/pgxpool"
)

//go:embed schema.sql
var schema string

type line struct {
	SKU      string `json:"sku"`
	Quantity int    `json:"quantity"`
}

type webhook struct {
	shop, id string
	order    struct {
		ID    int64  `json:"id"`
		Lines []line `json:"line_items"`
	}
}

type handler func(context.Context, *pgxpool.Conn, webhook) error

var handlers = map[string]handler{"article": article, "fixed": fixed}

func main() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatal(err)
	}
	switch os.Args[1] {
	case "schema":
		if _, err := pool.Exec(ctx, schema); err != nil {
			log.Fatal(err)
		}
	case "relay":
		relay(ctx, pool)
	case "web":
		web(pool, handlers[os.Getenv("STRATEGY")])
	}
}

func web(pool *pgxpool.Pool, handle handler) {
	http.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := pool.Ping(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
	http.HandleFunc("POST /webhooks/orders/create", signed(pool, created))
	http.HandleFunc("POST /webhooks/orders/paid", signed(pool, handle))
	log.Fatal(http.ListenAndServe(os.Getenv("HOST")+":"+os.Getenv("PORT"), nil))
}

// signed checks the signature over the raw body, then gives the webhook and a connection of its own
// to the handler.
func signed(pool *pgxpool.Pool, handle handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
			return
		}
		digest := hmac.New(sha256.New, []byte(os.Getenv("SHOPIFY_SHARED_SECRET")))
		digest.Write(body)
		given, err := base64.StdEncoding.DecodeString(r.Header.Get("X-Shopify-Hmac-Sha256"))
		if err != nil || !hmac.Equal(given, digest.Sum(nil)) {
			http.Error(w, "wrong signature", http.StatusUnauthorized)
			return
		}
		hook := webhook{
			shop: r.Header.Get("X-Shopify-Shop-Domain"), id: r.Header.Get("X-Shopify-Webhook-Id"),
		}
		if err := json.Unmarshal(body, &hook.order); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		// A sender that hangs up must not cut a transaction in two.
		ctx := context.WithoutCancel(r.Context())
		conn, err := pool.Acquire(ctx)
		if err == nil {
			err = handle(ctx, conn, hook)
			conn.Release()
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	}
}

func created(ctx context.Context, conn *pgxpool.Conn, hook webhook) error {
	_, err := conn.Exec(ctx,
		`INSERT INTO orders (shop, order_id, status) VALUES ($1, $2, 'pending')
		 ON CONFLICT (shop, order_id) DO NOTHING`, hook.shop, hook.order.ID)
	return err
}
