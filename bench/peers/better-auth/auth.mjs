// Better Auth as its guide sets it up for PostgreSQL, with bearer tokens.
import { betterAuth } from "better-auth";
import { bearer } from "better-auth/plugins";
import pg from "pg";

export const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 16 });

export const auth = betterAuth({
  database: pool,
  emailAndPassword: { enabled: true },
  // All requests come from one address.
  rateLimit: { enabled: false },
  telemetry: { enabled: false },
  plugins: [bearer()],
});
