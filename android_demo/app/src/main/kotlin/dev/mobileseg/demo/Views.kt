package dev.mobileseg.demo

import android.app.Activity
import android.view.View

/** A view that the layout has. */
fun <T : View> Activity.find(id: Int): T = checkNotNull(findViewById<T>(id)) { "no view $id in the layout" }

/** A view that the layout has below this one. */
fun <T : View> View.find(id: Int): T = checkNotNull(findViewById<T>(id)) { "no view $id in the layout" }
