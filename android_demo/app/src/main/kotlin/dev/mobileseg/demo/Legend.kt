package dev.mobileseg.demo

import android.content.Context
import android.graphics.drawable.GradientDrawable
import android.view.Gravity
import android.widget.LinearLayout
import android.widget.TextView
import dev.mobileseg.core.Manifest

private const val OPAQUE = 0xff shl 24
private const val SWATCH = 14
private const val GAP = 8
private const val ABSENT = 0.4f

/** The classes with their colours, and each one's share of the picture. */
class Legend(
    private val root: LinearLayout,
) {
    private val rows = mutableListOf<Pair<LinearLayout, TextView>>()

    fun build(manifest: Manifest) {
        root.removeAllViews()
        rows.clear()
        manifest.classes.zip(manifest.palette).forEach { (name, colour) -> rows += row(name, colour) }
        rows.forEach { (row, _) -> root.addView(row) }
    }

    /** @param shares 0 to 1, by class */
    fun show(shares: FloatArray) =
        rows.zip(shares.asIterable()).forEach { (views, share) ->
            val (row, text) = views
            text.text = "%.1f%%".format(100 * share)
            row.alpha = if (share == 0f) ABSENT else 1f
        }

    private fun row(
        name: String,
        colour: Int,
    ): Pair<LinearLayout, TextView> {
        val context = root.context
        val swatch = GradientDrawable().apply {
            setColor(OPAQUE or colour)
            setSize(context.pixels(SWATCH), context.pixels(SWATCH))
        }
        val label = TextView(context).apply {
            text = name
            setCompoundDrawablesRelativeWithIntrinsicBounds(swatch, null, null, null)
            compoundDrawablePadding = context.pixels(GAP)
        }
        val share = TextView(context).apply { text = "–" }
        val row = LinearLayout(context).apply {
            gravity = Gravity.CENTER_VERTICAL
            addView(label, LinearLayout.LayoutParams(0, LinearLayout.LayoutParams.WRAP_CONTENT, 1f))
            addView(share)
        }
        return row to share
    }
}

private fun Context.pixels(dp: Int) = (dp * resources.displayMetrics.density).toInt()
