// Takes Shopify's webhooks with the handler that STRATEGY names: article.js or fixed.js.
const crypto = require('node:crypto');
const express = require('express');
const { Pool } = require('pg');

const handle = { article: require('./article'), fixed: require('./fixed') }[process.env.STRATEGY];
const pool = new Pool({ connectionString: process.env.DATABASE_URL, max: 10 });
pool.on('error', () => {}); // a connection that is lost while idle is replaced

const app = express();

app.get('/readyz', async (_, response) => {
  await pool.query('SELECT 1');
  response.send('ready');
});

// The raw body is what is signed, so it must be kept: no JSON parser stands before this.
app.use('/webhooks', express.raw({ type: 'application/json', limit: '1mb' }), (request, response, next) => {
  const expected = crypto
    .createHmac('sha256', process.env.SHOPIFY_SHARED_SECRET)
    .update(request.body)
    .digest();
  const given = Buffer.from(request.get('X-Shopify-Hmac-Sha256') || '', 'base64');
  if (given.length !== expected.length || !crypto.timingSafeEqual(given, expected)) {
    return response.sendStatus(401);
  }
  request.order = JSON.parse(request.body);
  next();
});

app.post('/webhooks/orders/create', async (request, response) => {
  await pool.query(
    `INSERT INTO orders (shop, order_id, status) VALUES ($1, $2, 'pending')
     ON CONFLICT (shop, order_id) DO NOTHING`,
    [request.get('X-Shopify-Shop-Domain'), request.order.id],
  );
  response.sendStatus(200);
});

app.post('/webhooks/orders/paid', async (request, response) => {
  const client = await pool.connect();
  let lost;
  try {
    const status = await handle(client, {
      shop: request.get('X-Shopify-Shop-Domain'),
      webhookId: request.get('X-Shopify-Webhook-Id'),
      order: request.order,
    });
    response.sendStatus(status);
  } catch (error) {
    lost = await client.query('ROLLBACK').then(() => undefined, (gone) => gone);
    response.status(500).send(error.message);
  } finally {
    client.release(lost);
  }
});

app.use((error, _request, response, _next) => response.status(500).send(error.message));

app.listen(Number(process.env.PORT), process.env.HOST);
